//! Which release a device takes of a list, and how lists follow each other.

use super::*;

#[test]
fn a_release_comes_to_the_devices_of_its_open_waves_and_then_to_all() {
    let (first, second) = (device_in("1%", None), device_in("10%", Some("1%")));
    let last = device_in("100%", Some("10%"));
    let told =
        |list: &Channel| [first, second, last].map(|device| decided(&accepted(list), device, &[], &[]));
    let list = channel();
    assert_eq!(told(&list), ["install 1.1.0", "later 1.1.0", "later 1.1.0"]);
    let list = list.promote("1.1.0", lifetime()).unwrap();
    assert_eq!(told(&list), ["install 1.1.0", "install 1.1.0", "later 1.1.0"]);
    let list = list.promote("edge-1.1.0-x86_64-efi", lifetime()).unwrap();
    assert_eq!(told(&list), ["install 1.1.0", "install 1.1.0", "install 1.1.0"]);
    assert_eq!(list.serial, 4);
    assert!(matches!(
        list.promote("1.1.0", lifetime()),
        Err(EditError::Open(_))
    ));
}

#[test]
fn while_a_newer_release_is_not_for_all_others_get_the_older_one() {
    let list = channel()
        .promote("1.1.0", lifetime())
        .unwrap()
        .promote("1.1.0", lifetime())
        .unwrap();
    let list = list
        .publish(vec![publication("1.2.0", "1%,100%")], lifetime())
        .unwrap();
    let (first, last) = (device_in("1%", None), device_in("100%", Some("1%")));
    let told = |list: &Channel| [first, last].map(|device| decided(&accepted(list), device, &[], &[]));
    assert_eq!(told(&list), ["install 1.2.0", "install 1.1.0"]);
    let withdrawn = list.withdraw("1.2.0", "it eats batteries", lifetime()).unwrap();
    assert_eq!(told(&withdrawn), ["install 1.1.0", "install 1.1.0"]);
    let again = withdrawn.publish(vec![publication("1.2.0", "100%")], lifetime());
    assert!(matches!(again, Err(EditError::Withdrawn { .. })));
    // Once the newer one is for all, nobody needs the older one.
    let list = list.promote("1.2.0", lifetime()).unwrap();
    assert_eq!(list.offers.len(), 1);
    assert_eq!(told(&list), ["install 1.2.0", "install 1.2.0"]);
}

#[test]
fn a_paused_release_comes_to_nobody_until_it_is_resumed() {
    let device = device_in("1%", None);
    let paused = channel().pause("1.1.0", lifetime()).unwrap();
    assert_eq!(decided(&accepted(&paused), device, &[], &[]), "paused 1.1.0");
    assert!(matches!(
        paused.pause("1.1.0", lifetime()),
        Err(EditError::Paused(_))
    ));
    assert!(matches!(
        paused.promote("1.1.0", lifetime()),
        Err(EditError::Paused(_))
    ));
    let resumed = paused.resume("1.1.0", lifetime()).unwrap();
    assert_eq!(decided(&accepted(&resumed), device, &[], &[]), "install 1.1.0");
    assert!(matches!(
        resumed.resume("1.1.0", lifetime()),
        Err(EditError::NotPaused(_))
    ));
    assert!(matches!(
        resumed.pause("9.9.9", lifetime()),
        Err(EditError::Unknown(_))
    ));
}

fn built_for(image: &str, architecture: &str, version: &str) -> Publication {
    let mut publication = publication(version, "1%,10%,100%");
    publication.release.image = image.parse().unwrap();
    publication.release.architecture = architecture.parse().unwrap();
    publication.manifest = FileDigest::of(format!("{image}{architecture}{version}").as_bytes());
    publication
}

#[test]
fn a_version_means_a_product_s_release_for_all_architectures_and_of_several_products_none() {
    let (x86, arm) = ("edge-1.1.0-x86_64-efi", "edge-1.1.0-aarch64-efi");
    let list = channel()
        .publish(vec![built_for("edge", "aarch64", "1.1.0")], lifetime())
        .unwrap();
    let shares = |list: &Channel| -> Vec<String> {
        list.offers
            .iter()
            .map(|offer| offer.share().to_string())
            .collect()
    };
    let both = list.promote("1.1.0", lifetime()).unwrap();
    assert_eq!(shares(&both), ["10%", "10%"]);
    // One that is further than the other doesn't keep it.
    let one = both.promote(arm, lifetime()).unwrap();
    assert_eq!(shares(&one), ["10%", "100%"]);
    let all = one.promote("1.1.0", lifetime()).unwrap();
    assert_eq!(shares(&all), ["100%", "100%"]);
    assert!(matches!(
        all.promote("1.1.0", lifetime()),
        Err(EditError::Open(_))
    ));
    let paused = list.pause(x86, lifetime()).unwrap();
    let paused = paused.pause("1.1.0", lifetime()).unwrap();
    assert!(paused.offers.iter().all(|offer| offer.paused));
    let gone = list.withdraw("1.1.0", "it eats batteries", lifetime()).unwrap();
    assert_eq!((gone.offers.len(), gone.withdrawn.len()), (0, 2));

    let other = list
        .publish(vec![built_for("till", "x86_64", "1.1.0")], lifetime())
        .unwrap();
    let error = other.promote("1.1.0", lifetime()).unwrap_err();
    assert!(matches!(error, EditError::Ambiguous { .. }));
    for name in [x86, arm, "till-1.1.0-x86_64-efi"] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_reason_that_no_list_can_have_is_refused_before_it_is_in_one() {
    for reason in ["x".repeat(501), "two\nlines".to_owned()] {
        let refused = channel().withdraw("1.1.0", &reason, lifetime());
        assert!(matches!(refused, Err(EditError::Reason(_))), "{reason}");
    }
    let longest = channel().withdraw("1.1.0", &"x".repeat(500), lifetime()).unwrap();
    assert_eq!(Channel::parse(&longest.to_bytes()).unwrap(), longest);
}

#[test]
fn labels_hold_devices_back_and_failed_releases_are_not_tried_again() {
    let device = device_in("1%", None);
    let held = Publication {
        hold_back: vec!["ring=late".parse().unwrap(), "frozen".parse().unwrap()],
        ..publication("1.1.0", "100%")
    };
    let list = Channel::new(stable(), lifetime())
        .unwrap()
        .publish(vec![held], lifetime())
        .unwrap();
    let told = |labels: &[(&str, &str)]| decided(&accepted(&list), device, labels, &[]);
    assert_eq!(told(&[("ring", "early")]), "install 1.1.0");
    assert_eq!(told(&[("ring", "late")]), "ring=late holds 1.1.0");
    assert_eq!(told(&[("frozen", "")]), "frozen holds 1.1.0");
    let failed = [FileDigest::of(b"1.1.0")];
    assert_eq!(decided(&accepted(&list), device, &[], &failed), "failed 1.1.0");
}

#[test]
fn what_is_older_or_for_other_devices_is_no_offer_and_a_withdrawn_release_is_told_where_it_runs() {
    let other = Publication {
        release: ReleaseName {
            architecture: "aarch64".parse().unwrap(),
            ..release("2.0.0")
        },
        ..publication("2.0.0", "100%")
    };
    let old = publication("1.0.0", "100%");
    let list = Channel::new(stable(), lifetime()).unwrap();
    let list = list.publish(vec![other, old], lifetime()).unwrap();
    assert_eq!(
        decided(&accepted(&list), device_in("1%", None), &[], &[]),
        "up to date"
    );
    let list = accepted(&list.withdraw("1.0.0", "it eats batteries", lifetime()).unwrap());
    let (labels, running) = (BTreeMap::new(), release("1.0.0"));
    let mut subscriber = Subscriber {
        device: device_in("1%", None),
        labels: &labels,
        running: &running,
        manifest: Some(FileDigest::of(b"1.0.0")),
        failed: &[],
    };
    assert_eq!(withdrawn(&list, &subscriber).unwrap().reason, "it eats batteries");
    subscriber.manifest = Some(FileDigest::of(b"another 1.0.0"));
    assert!(withdrawn(&list, &subscriber).is_none());
}

#[test]
fn a_release_is_published_once() {
    let again = channel().publish(vec![publication("1.1.0", "100%")], lifetime());
    assert!(matches!(again, Err(EditError::Known(_))));
    let same_bytes = Publication {
        release: release("1.1.1"),
        ..publication("1.1.0", "100%")
    };
    assert!(matches!(
        channel().publish(vec![same_bytes], lifetime()),
        Err(EditError::Known(_))
    ));
}

proptest! {
    /// Whatever an owner does, each list has a higher serial, survives its form, and is accepted after the one before.
    #[test]
    fn every_list_follows_the_one_before(steps in proptest::collection::vec((0..6_u8, 0..5_u8), 1..40)) {
        let mut list = Channel::new(stable(), lifetime()).unwrap();
        let mut seen = None;
        for (step, number) in steps {
            let name = format!("1.{number}.0");
            let next = match step {
                0 => list.publish(vec![publication(&name, "1%,50%,100%")], lifetime()),
                1 => list.promote(&name, lifetime()),
                2 => list.pause(&name, lifetime()),
                3 => list.resume(&name, lifetime()),
                4 => list.withdraw(&name, "because", lifetime()),
                _ => list.refreshed(lifetime()),
            };
            let Ok(next) = next else { continue };
            prop_assert_eq!(next.serial, list.serial + 1);
            prop_assert_eq!(&Channel::parse(&next.to_bytes()).unwrap(), &next);
            let accepted = accepted_at(&sign(&next), seen, now()).unwrap();
            seen = Some(accepted.seen());
            list = next;
        }
    }

    #[test]
    fn any_bytes_are_a_list_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _list_or_error = Channel::parse(&bytes);
        prop_assert!(accepted_at(&bytes, None, now()).is_err());
    }
}
