//! Names that look like one that doesn't exist.

/// At most this many are worth reading.
const MAX_SUGGESTIONS: usize = 3;
/// Jaro-Winkler similarity from which a name is a likely slip of the pen.
const SIMILAR: f64 = 0.82;

/// The names among `known` nearest to `wanted`, best first; equal ones by name.
pub(super) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = known
        .map(|name| (score(wanted, name), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, name)| *name);
    scored
        .iter()
        .take(MAX_SUGGESTIONS)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

fn score(wanted: &str, name: &str) -> f64 {
    let similarity = strsim::jaro_winkler(wanted, name);
    let stem = |text: &str| text.split(['.', '@']).next().unwrap_or_default().to_owned();
    let (a, b) = (stem(wanted), stem(name));
    if !a.is_empty() && (a == b || format!("{a}d") == b || a == format!("{b}d")) {
        1.0
    } else {
        similarity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_nonsense_finds_nothing() {
        let known = [
            "ssh.service",
            "ssh.socket",
            "containerd.service",
            "getty@.service",
        ];
        assert_eq!(
            nearest("sshd.service", known.into_iter()),
            ["ssh.service", "ssh.socket"]
        );
        assert_eq!(
            nearest("containrd.service", known.into_iter())[0],
            "containerd.service"
        );
        assert!(nearest("zzzz", known.into_iter()).is_empty());
    }
}
