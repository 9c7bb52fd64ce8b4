use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    command::{CREATE, CREATE_PRIMARY, FLUSH_CONTEXT, LOAD, UNSEAL},
    fake::{FakeTpm, Fault},
    *,
};

const SEED: [u8; SEED_BYTES] = [0xa5; SEED_BYTES];

fn refused_with(result: Result<impl std::fmt::Debug, TpmError>) -> u32 {
    match result {
        Err(TpmError::Refused { code, .. }) => code.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_tpm_has_sealed_it_unseals_and_nothing_stays_in_it() {
    let mut tpm = FakeTpm::new(1);
    let sealed = seal(&mut tpm, &SEED).unwrap();
    assert_eq!(unseal(&mut tpm, &sealed).unwrap(), SEED);
    assert_eq!(unseal(&mut tpm, &sealed).unwrap(), SEED);
    assert_eq!((tpm.loaded(), tpm.count(FLUSH_CONTEXT)), (0, 5));
    let is_in = |area: &[u8]| area.windows(SEED_BYTES).any(|window| window == SEED);
    assert!(!is_in(sealed.private()) && !is_in(sealed.public()));
}

#[test]
fn another_tpm_and_one_that_was_cleared_say_so() {
    let mut tpm = FakeTpm::new(1);
    let sealed = seal(&mut tpm, &SEED).unwrap();
    let mut other = FakeTpm::new(2);
    assert_eq!(refused_with(unseal(&mut other, &sealed)), ResponseCode::INTEGRITY);
    tpm.clear();
    assert_eq!(refused_with(unseal(&mut tpm, &sealed)), ResponseCode::INTEGRITY);
    assert_eq!((tpm.loaded(), other.loaded()), (0, 0));
}

#[test]
fn a_tpm_that_refuses_at_any_command_says_why_and_keeps_nothing_loaded() {
    let sealed = seal(&mut FakeTpm::new(1), &SEED).unwrap();
    for code in [ResponseCode::OBJECT_MEMORY, ResponseCode::LOCKOUT] {
        for command in [CREATE_PRIMARY, CREATE, LOAD, UNSEAL] {
            let mut tpm = FakeTpm::new(1).with(Fault::Refuses(command, code));
            let told = match command {
                CREATE => refused_with(seal(&mut tpm, &SEED)),
                _ => refused_with(unseal(&mut tpm, &sealed)),
            };
            assert_eq!((told, tpm.loaded()), (code, 0), "{command:#x}");
        }
    }
}

#[test]
fn a_silent_tpm_is_an_error_and_one_that_doesn_t_put_away_is_none() {
    let sealed = seal(&mut FakeTpm::new(1), &SEED).unwrap();
    let mut silent = FakeTpm::new(1).with(Fault::Silent(UNSEAL));
    let error = unseal(&mut silent, &sealed).unwrap_err();
    assert!(matches!(error, TpmError::Exchange { .. }), "{error}");
    assert_eq!(silent.loaded(), 0);
    let mut full = FakeTpm::new(1).with(Fault::Refuses(FLUSH_CONTEXT, 0x101));
    assert_eq!(unseal(&mut full, &sealed).unwrap(), SEED);
}

#[test]
fn answers_that_are_cut_lengthened_or_of_something_else_are_told() {
    fn cut(mut answer: Vec<u8>) -> Vec<u8> {
        answer.pop();
        answer
    }
    fn cut_and_told(mut answer: Vec<u8>) -> Vec<u8> {
        answer.truncate(answer.len() - 6);
        answer[5] = u8::try_from(answer.len()).unwrap();
        answer
    }
    fn longer(mut answer: Vec<u8>) -> Vec<u8> {
        answer.push(0);
        answer
    }
    fn nothing(_: Vec<u8>) -> Vec<u8> {
        Vec::new()
    }
    fn of_tpm_1(mut answer: Vec<u8>) -> Vec<u8> {
        answer[..2].copy_from_slice(&[0x00, 0xc4]);
        answer
    }
    fn other_handle(mut answer: Vec<u8>) -> Vec<u8> {
        answer[10] = 0x40;
        answer
    }
    let sealed = seal(&mut FakeTpm::new(1), &SEED).unwrap();
    let edits: [fn(Vec<u8>) -> Vec<u8>; 5] = [cut, cut_and_told, longer, nothing, of_tpm_1];
    for edit in edits {
        for command in [CREATE_PRIMARY, LOAD, UNSEAL] {
            let mut tpm = FakeTpm::new(1).with(Fault::Answers(command, edit));
            let error = unseal(&mut tpm, &sealed).unwrap_err();
            assert!(matches!(error, TpmError::Answer { .. }), "{command:#x}: {error}");
        }
    }
    let mut tpm = FakeTpm::new(1).with(Fault::Answers(CREATE_PRIMARY, other_handle));
    let error = seal(&mut tpm, &SEED).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("no loaded object"), "{source}");
}

#[test]
fn a_tpm_that_makes_another_object_than_it_was_asked_for_seals_nothing() {
    fn without_fixed_tpm(mut answer: Vec<u8>) -> Vec<u8> {
        // The attributes of the public area, which follows 64 bytes of the private one.
        answer[10 + 4 + 2 + 64 + 2 + 7] &= !2;
        answer
    }
    let mut tpm = FakeTpm::new(1).with(Fault::Answers(CREATE, without_fixed_tpm));
    assert!(matches!(seal(&mut tpm, &SEED), Err(TpmError::OtherObject)));
}

#[test]
fn a_secret_of_another_length_is_no_seed() {
    fn shorter(_: Vec<u8>) -> Vec<u8> {
        let body = [&[0, 0, 0, 5, 0, 3, 1, 2, 3][..], &[0, 0, 1, 0, 0]].concat();
        fake::answer(command::SESSIONS, &body)
    }
    let sealed = seal(&mut FakeTpm::new(1), &SEED).unwrap();
    let mut tpm = FakeTpm::new(1).with(Fault::Answers(UNSEAL, shorter));
    assert!(matches!(unseal(&mut tpm, &sealed), Err(TpmError::OtherSecret)));
}

/// Answers with what somebody made up, whatever is asked.
struct MadeUp(std::vec::IntoIter<Vec<u8>>);

impl Transport for MadeUp {
    fn exchange(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
        self.0.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..80);
    let code = prop_oneof![4 => Just(0_u32), 1 => any::<u32>()];
    let header = (prop_oneof![Just(0x8001_u16), Just(0x8002)], code, body);
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        4 => header.prop_map(|(tag, code, body)| {
            let mut answer = fake::answer(tag, &body);
            answer[6..10].copy_from_slice(&code.to_be_bytes());
            answer
        }),
    ]
}

proptest! {
    /// Whatever comes over the bus: an error, or 32 bytes, never a panic.
    #[test]
    fn made_up_answers_end_in_an_error_or_a_seed(answers in proptest::collection::vec(any_answer(), 0..8)) {
        let _ = seal(&mut MadeUp(answers.clone().into_iter()), &SEED);
        let sealed = SealedSeed::from_areas(vec![1], vec![2]).unwrap();
        let _ = unseal(&mut MadeUp(answers.into_iter()), &sealed);
    }
}

/// swtpm, whose answers nobody here wrote.
struct Swtpm {
    child: Child,
    stream: UnixStream,
    _folder: tempfile::TempDir,
}

impl Swtpm {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.path().display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .spawn()
            .expect("Debian's package swtpm");
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begin.elapsed() < Duration::from_secs(20), "{error}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        Self {
            child,
            stream,
            _folder: folder,
        }
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Transport for Swtpm {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(command)?;
        let mut answer = vec![0; MAX_MESSAGE_BYTES];
        let read = self.stream.read(&mut answer)?;
        answer.truncate(read);
        Ok(answer)
    }
}

#[test]
#[ignore = "the soak's: it needs swtpm"]
fn the_reference_implementation_seals_and_unseals_and_refuses_what_another_sealed() {
    let (mut one, mut two) = (Swtpm::start(), Swtpm::start());
    let sealed = seal(&mut one, &SEED).unwrap();
    println!(
        "areas of {} and {} bytes",
        sealed.private().len(),
        sealed.public().len()
    );
    // More often than there are places for objects: none stays.
    for _ in 0..5 {
        assert_eq!(unseal(&mut one, &sealed).unwrap(), SEED);
    }
    assert_eq!(refused_with(unseal(&mut two, &sealed)), ResponseCode::INTEGRITY);
    assert_ne!(seal(&mut one, &SEED).unwrap(), sealed);
}
