//! Looks into an x86_64 boot payload: is its kernel repacked to the same bytes, how long does it take, and how much memory?
//!
//! `cargo run --release --package outcrop-release --example packed_kernel -- outcrop-a.efi [PLAIN]` prints times, and the process's
//! highest memory after each step ("VmHWM", Linux); `PLAIN` is where the unpacked kernel goes. The figures of ADR 0016 are made by it.

use std::{env, error::Error, fs, io::Write as _, time::Instant};

use outcrop_release::packed::{PackedKernel, Packer, prove, unpack};

#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let path = arguments.first().ok_or("which boot payload?")?;
    let payload = fs::read(path)?;
    let found = PackedKernel::find(payload.as_slice())?;
    let (start, end) = (
        usize::try_from(found.frame.start)?,
        usize::try_from(found.frame.end())?,
    );
    let frame = payload.get(start..end).ok_or("the frame lies outside")?.to_vec();
    drop(payload);
    println!(
        "{path}: frame at {start}, {} bytes, {} unpacked",
        frame.len(),
        found.plain_len.bytes()
    );
    forget_highest();
    let since = Instant::now();
    let plain = unpack(&frame, found.plain_len)?;
    println!("unpacked: {:.2?}, {}", since.elapsed(), highest()?);
    if let Some(path) = arguments.get(1) {
        fs::write(path, &plain)?;
    }
    let since = Instant::now();
    let Some(recipe) = prove(&frame, found.plain_len)? else {
        println!("not proved: {:.1?}", since.elapsed());
        return Ok(());
    };
    println!("proved: {:.1?}, {recipe:?}", since.elapsed());
    forget_highest();
    let (before, since) = (highest()?, Instant::now());
    let mut packer = Packer::new(&recipe, Vec::new())?;
    packer.write_all(&plain)?;
    let same = packer.finish()? == frame;
    println!(
        "repacked: {:.1?}, same bytes: {same}; {before} before",
        since.elapsed()
    );
    println!(
        "  {}, memory_bytes {} KiB",
        highest()?,
        recipe.memory_bytes() >> 10
    );
    Ok(())
}

/// Makes the kernel count [`highest`] anew.
fn forget_highest() {
    // Only the figures suffer where that isn't allowed.
    let _ignored = fs::write("/proc/self/clear_refs", "5");
}

/// The highest memory so far, as the kernel tells it.
fn highest() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    Ok(line
        .ok_or("no VmHWM")?
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" "))
}
