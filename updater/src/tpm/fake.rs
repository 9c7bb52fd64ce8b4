//! A TPM in memory: the few commands, strictly read, and what goes wrong with real ones.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use outcrop_release::digest::FileDigest;

use super::{
    ResponseCode, Tpm, Transport,
    command::{FLUSH_CONTEXT, LOAD, NO_SESSIONS, SESSIONS, sealed_template},
    wire::{Reader, Writer},
};

pub(crate) use super::command::{CREATE, CREATE_PRIMARY, UNSEAL};

/// Source: part 2, section 6.6.3.
const HANDLE: u32 = 0x18b;
const INTEGRITY: u32 = 0x1df;
const VALUE: u32 = 0x084;

/// What goes wrong, from a command on.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Commands of this code are refused.
    Refuses(u32, u32),
    /// The answer to a command of this code is replaced: by what `edit` makes of it.
    Answers(u32, fn(Vec<u8>) -> Vec<u8>),
    /// Commands of this code get no answer.
    Silent(u32),
}

/// A TPM that can be shared between openings, as a real one.
#[derive(Debug, Clone)]
pub(crate) struct FakeTpm(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    /// Changes when it is cleared.
    owner: u64,
    /// Handles of storage keys (none) and of loaded secrets.
    objects: BTreeMap<u32, Option<Vec<u8>>>,
    next: u32,
    faults: Vec<Fault>,
    codes: Vec<u32>,
}

impl FakeTpm {
    /// TPMs with different owners can't unseal each other's objects.
    pub(crate) fn new(owner: u64) -> Self {
        Self(Arc::new(Mutex::new(Model {
            owner,
            objects: BTreeMap::new(),
            next: 0x8000_0000,
            faults: Vec::new(),
            codes: Vec::new(),
        })))
    }

    pub(crate) fn with(self, fault: Fault) -> Self {
        self.0.lock().unwrap().faults.push(fault);
        self
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().owner += 1000;
    }

    /// Objects that are still loaded.
    pub(crate) fn loaded(&self) -> usize {
        self.0.lock().unwrap().objects.len()
    }

    /// How many commands of a code came.
    pub(crate) fn count(&self, code: u32) -> usize {
        let model = self.0.lock().unwrap();
        model.codes.iter().filter(|came| **came == code).count()
    }
}

impl Tpm for FakeTpm {
    fn open(&self) -> io::Result<Option<Box<dyn Transport>>> {
        Ok(Some(Box::new(self.clone())))
    }
}

impl Transport for FakeTpm {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut model = self.0.lock().unwrap();
        let code = Reader(&command[6..]).u32().unwrap();
        model.codes.push(code);
        let mut answer = None;
        for fault in model.faults.clone() {
            match fault {
                Fault::Refuses(of, with) if of == code => answer = Some(refusal(with)),
                Fault::Silent(of) if of == code => return Err(io::ErrorKind::TimedOut.into()),
                _ => {}
            }
        }
        let mut answer = answer.unwrap_or_else(|| model.execute(command).unwrap_or_else(refusal));
        for fault in &model.faults {
            if let Fault::Answers(of, edit) = fault
                && *of == code
            {
                answer = edit(answer);
            }
        }
        Ok(answer)
    }
}

impl Model {
    /// Executes a command, which must be exactly as the specification has it.
    fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>, u32> {
        let mut reader = Reader(command);
        let tag = reader.u16().unwrap();
        assert_eq!(reader.u32().unwrap() as usize, command.len());
        let code = reader.u32().unwrap();
        let handle = reader.u32().unwrap();
        if code == FLUSH_CONTEXT {
            assert_eq!(tag, NO_SESSIONS);
            reader.end().unwrap();
            return self
                .objects
                .remove(&handle)
                .map(|_| answer(tag, &[]))
                .ok_or(HANDLE);
        }
        assert_eq!(tag, SESSIONS);
        // One authorization of nine bytes: an empty password.
        let password = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        assert_eq!(reader.take(password.len()).unwrap(), password);
        match code {
            CREATE_PRIMARY => self.create_primary(handle, reader),
            CREATE => self.create(handle, reader),
            LOAD => self.load(handle, reader),
            UNSEAL => self.unseal(handle, reader),
            other => panic!("nobody needs the command {other:#x}"),
        }
    }

    fn create_primary(&mut self, hierarchy: u32, mut reader: Reader<'_>) -> Result<Vec<u8>, u32> {
        assert_eq!(hierarchy, 0x4000_0001);
        assert_eq!(reader.sized().unwrap(), [0; 4]);
        let public = reader.sized().unwrap();
        // The template as the kernel's and systemd's storage keys have it.
        let begin = "0023000b0003047200000006008000430010000300100020";
        assert!(hex::encode(public).starts_with(begin), "{}", hex::encode(public));
        assert_eq!(public.len(), 24 + 32 + 2 + 32);
        assert_eq!(reader.take(6).unwrap(), [0; 6]);
        reader.end().unwrap();
        Ok(self.loaded_answer(None))
    }

    fn create(&mut self, parent: u32, mut reader: Reader<'_>) -> Result<Vec<u8>, u32> {
        self.storage_key(parent)?;
        let mut sensitive = Reader(reader.sized().unwrap());
        assert_eq!(sensitive.sized().unwrap(), [0; 0]);
        let data = sensitive.sized().unwrap();
        sensitive.end().unwrap();
        let template = reader.sized().unwrap();
        let expected = sealed_template();
        assert_eq!(template, [&expected[..], &[0, 0]].concat());
        assert_eq!(hex::encode(&expected), "0008000b0000045200000010");
        reader.take(6).unwrap();
        reader.end().unwrap();
        let public = Writer::default()
            .bytes(&expected)
            .sized(FileDigest::of(data).as_bytes())
            .0;
        let private = [&self.integrity(&public, data)[..], &self.encrypted(data)].concat();
        let parameters = Writer::default()
            .sized(&private)
            .sized(&public)
            .sized(b"creation data")
            .sized(&[7; 32])
            .u16(0x8021)
            .u32(0x4000_0001)
            .sized(&[8; 32]);
        Ok(answer(SESSIONS, &authorized(&parameters.0)))
    }

    fn load(&mut self, parent: u32, mut reader: Reader<'_>) -> Result<Vec<u8>, u32> {
        self.storage_key(parent)?;
        let (private, public) = (reader.sized().unwrap(), reader.sized().unwrap());
        reader.end().unwrap();
        let (integrity, encrypted) = private.split_at_checked(32).ok_or(INTEGRITY)?;
        let data = self.encrypted(encrypted);
        if integrity != self.integrity(public, &data) {
            return Err(INTEGRITY);
        }
        Ok(self.loaded_answer(Some(data)))
    }

    fn unseal(&self, handle: u32, reader: Reader<'_>) -> Result<Vec<u8>, u32> {
        reader.end().unwrap();
        let object = self.objects.get(&handle).ok_or(HANDLE)?;
        let data = object.as_ref().ok_or(VALUE)?;
        let parameters = Writer::default().sized(data).0;
        Ok(answer(SESSIONS, &authorized(&parameters)))
    }

    fn storage_key(&self, handle: u32) -> Result<(), u32> {
        match self.objects.get(&handle) {
            Some(None) => Ok(()),
            _ => Err(HANDLE),
        }
    }

    fn loaded_answer(&mut self, object: Option<Vec<u8>>) -> Vec<u8> {
        self.next += 1;
        self.objects.insert(self.next, object);
        let parameters = Writer::default().sized(b"a name").0;
        let handle = Writer::default().u32(self.next);
        answer(SESSIONS, &handle.bytes(&authorized(&parameters)).0)
    }

    /// The same there and back.
    fn encrypted(&self, data: &[u8]) -> Vec<u8> {
        let stream = FileDigest::of(&self.owner.to_be_bytes());
        data.iter()
            .zip(stream.as_bytes().iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect()
    }

    fn integrity(&self, public: &[u8], data: &[u8]) -> [u8; 32] {
        let all = [&self.owner.to_be_bytes(), public, data].concat();
        *FileDigest::of(&all).as_bytes()
    }
}

/// Parameters and the authorization that answers an empty password.
fn authorized(parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(parameters.len()).unwrap();
    Writer::default()
        .u32(length)
        .bytes(parameters)
        .bytes(&[0, 0, 1, 0, 0])
        .0
}

pub(crate) fn answer(tag: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + body.len()).unwrap();
    Writer::default().u16(tag).u32(length).u32(0).bytes(body).0
}

pub(crate) fn refusal(code: u32) -> Vec<u8> {
    assert_ne!(ResponseCode(code), ResponseCode(0));
    Writer::default().u16(NO_SESSIONS).u32(10).u32(code).0
}
