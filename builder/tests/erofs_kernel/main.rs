//! Images of the own EROFS writer, judged by what others wrote: erofs-utils and the kernel.

mod mount;
mod sample;
mod tools;
