//! Messages of the kernel about devices that come and go.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind,
        netlink::{KOBJECT_UEVENT, SocketAddrNetlink},
        recv, socket_with, sockopt,
    },
};

/// The multicast group in which the kernel itself speaks; udev's daemon uses another one.
/// Source: Linux, `lib/kobject_uevent.c`.
const KERNEL_GROUP: u32 = 1;
/// Enough for the storm that the first drivers cause: the kernel drops messages that don't fit.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Longest message: the kernel's own limit (`UEVENT_BUFFER_SIZE`) and the header before it, rounded up.
const MESSAGE_BYTES: usize = 8192;

/// What one message says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uevent {
    /// What a module is looked for by, if the device has one.
    pub modalias: Option<String>,
    /// Whether it is about a disk or partition.
    pub is_block: bool,
}

impl Uevent {
    /// Reads `ACTION@PATH\0KEY=VALUE\0...`; nothing if a device goes, or the message isn't one of the kernel's.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut fields = message.split(|&byte| byte == 0);
        let header = fields.next()?;
        if !header.contains(&b'@') || header.starts_with(b"remove@") {
            return None;
        }
        let mut event = Self::default();
        for field in fields.filter_map(|field| std::str::from_utf8(field).ok()) {
            match field.split_once('=') {
                Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
                Some(("SUBSYSTEM", value)) => event.is_block = value == "block",
                _ => {}
            }
        }
        Some(event)
    }
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Event(Uevent),
    /// Messages were lost: look at everything again.
    Lost,
    /// The time is over.
    Nothing,
}

/// Where [`Heard`] comes from.
pub trait Uevents {
    /// Waits for the next message, `patience` at most.
    ///
    /// # Errors
    /// The socket's.
    fn next(&mut self, patience: Duration) -> io::Result<Heard>;
}

/// The kernel's netlink socket. Open it before the first look at `/sys`, so that nothing falls between.
#[derive(Debug)]
pub struct KernelUevents {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl KernelUevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no such socket.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            flags,
            Some(KOBJECT_UEVENT),
        )?;
        sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES)?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        let buffer = vec![0; MESSAGE_BYTES];
        Ok(Self { socket, buffer })
    }
}

impl Uevents for KernelUevents {
    fn next(&mut self, patience: Duration) -> io::Result<Heard> {
        loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((len, _)) => {
                    if let Some(event) = self.buffer.get(..len).and_then(Uevent::parse) {
                        return Ok(Heard::Event(event));
                    }
                }
                Err(Errno::NOBUFS) => return Ok(Heard::Lost),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let timeout = Timespec::try_from(patience).ok();
                    let mut sources = [PollFd::new(&self.socket, PollFlags::IN)];
                    if poll(&mut sources, timeout.as_ref())? == 0 {
                        return Ok(Heard::Nothing);
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_device_tells_its_modalias() {
        let message = b"add@/devices/pci0000:00/0000:00:03.0/virtio0\0ACTION=add\0SUBSYSTEM=virtio\0\
            MODALIAS=virtio:d00000002v00001AF4\0SEQNUM=1\0";
        let expected = Uevent {
            modalias: Some("virtio:d00000002v00001AF4".to_owned()),
            is_block: false,
        };
        assert_eq!(Uevent::parse(message), Some(expected));
    }

    #[test]
    fn disks_are_told_apart_and_what_goes_away_is_ignored() {
        let parse = |action: &str| {
            Uevent::parse(format!("{action}@/devices/virtual/block/vda\0SUBSYSTEM=block\0").as_bytes())
        };
        assert!(parse("add").unwrap().is_block);
        assert!(parse("change").unwrap().is_block);
        assert_eq!(parse("remove"), None);
    }

    #[test]
    fn messages_of_udevs_daemon_are_none_of_the_kernels() {
        assert_eq!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(message: Vec<u8>) {
            let _ = Uevent::parse(&message);
        }
    }
}
