//! The TPM as Linux shows it: one write is a command, one read its answer.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

use super::{MAX_MESSAGE_BYTES, Tpm, Transport};

/// `/dev/tpmrm0`, or another such file: there is one for a TPM 2.0 only. The kernel's resource manager is behind it, which lets several
/// programs in, makes room in the TPM, repeats commands that the TPM is too busy for, and puts away what is loaded once it is closed.
/// Source: Linux, `Documentation/security/tpm/tpm-security.rst`, `drivers/char/tpm/tpm-interface.c`, `tpm_transmit`.
#[derive(Debug, Clone)]
pub struct CharacterDevice(pub PathBuf);

impl Tpm for CharacterDevice {
    fn open(&self) -> io::Result<Option<Box<dyn Transport>>> {
        use rustix::io::Errno;
        match File::options().read(true).write(true).open(&self.0) {
            Ok(file) => Ok(Some(Box::new(Opened(file)))),
            // The name of a device that isn't there any more.
            Err(error)
                if [Errno::NXIO, Errno::NODEV]
                    .map(|errno| Some(errno.raw_os_error()))
                    .contains(&error.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

struct Opened(File);

impl Transport for Opened {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        // A part of a command is a bad command: it isn't written in pieces.
        let written = self.0.write(command)?;
        if written != command.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut answer = vec![0; MAX_MESSAGE_BYTES];
        let read = self.0.read(&mut answer)?;
        answer.truncate(read);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_file_has_no_tpm_and_one_that_can_t_be_opened_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = CharacterDevice(folder.path().join("tpmrm0"));
        assert!(missing.open().unwrap().is_none());
        assert!(CharacterDevice(folder.path().to_owned()).open().is_err());
    }
}
