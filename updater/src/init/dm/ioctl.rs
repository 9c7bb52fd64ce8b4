//! A system call that no library wraps.
//!
//! This and the watchdog's are the only unsafe code of the device's programs. Device-mapper's requests carry a buffer whose length is inside
//! it, which neither the standard library nor rustix can express.

#![allow(unsafe_code)]

use std::{ffi::c_void, fs::File};

use rustix::{
    io::{Errno, Result},
    ioctl::{Ioctl, IoctlOutput, Opcode, opcode},
};

use super::message::Command;

/// The part of the buffer that the request's number counts: `struct dm_ioctl`.
type Header = [u8; 312];

/// Sends `message`, whose header says how long it is, to device-mapper's control device; the answer is written over it.
pub(super) fn send(control: &File, command: Command, message: &mut [u8]) -> Result<()> {
    let declared = message
        .get(12..16)
        .and_then(<[u8]>::first_chunk)
        .map(|&bytes| u32::from_ne_bytes(bytes));
    let fits = declared.and_then(|len| usize::try_from(len).ok()) == Some(message.len());
    if !fits || message.len() < size_of::<Header>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: the requests of type 0xfd on this device read and write at most `data_size` bytes (offset 12) from the
    // pointer, which is exactly the length of `message`, checked above; they keep no pointer after they return.
    unsafe { rustix::ioctl::ioctl(control, Request { command, message }) }
}

struct Request<'a> {
    command: Command,
    message: &'a mut [u8],
}

// SAFETY: the pointer is to a live, exclusively borrowed buffer; the kernel writes into it, so `IS_MUTATING` is set; no
// value is made from what the call returns.
unsafe impl Ioctl for Request<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Header>(0xfd, self.command as u8)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.message.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}
