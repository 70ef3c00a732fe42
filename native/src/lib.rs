//! The hot path's primitives for Node. Each has a twin in `src-js/` with the same answers.

#[cfg(unix)]
mod descriptors;
mod records;

#[cfg(unix)]
use std::os::fd::BorrowedFd;

use napi::bindgen_prelude::{Error, Float64Array, Result, Status};
use napi_derive::napi;

/// CRC-32C of `bytes[start, end)`, unsigned.
#[napi(js_name = "crc32c")]
pub fn crc32c(bytes: &[u8], start: u32, end: u32) -> Result<u32> {
    Ok(crc32c::crc32c(part(bytes, start, end)?))
}

/// Whether `bytes[start, end)` is exactly `record_count` well-framed records; see `records.rs`.
#[napi(js_name = "checkRecords")]
pub fn check_records(
    bytes: &[u8],
    start: u32,
    end: u32,
    record_count: i32,
    mut facts: Float64Array,
) -> Result<u32> {
    let (status, mut seen) = records::check(part(bytes, start, end)?, record_count);
    seen.position += start as usize;
    // SAFETY: the array is the caller's own, no other thread knows of it, and nothing else here refers to its memory
    // while the slice lives.
    let out = unsafe { facts.as_mut() };
    if out.len() < records::Facts::COUNT {
        return Err(Error::new(Status::InvalidArg, "facts is too short"));
    }
    seen.write_to(out);
    Ok(status as u32)
}

/// Writes the ranges of `bytes`, `count` pairs of start and end, one after the other at `position` of the file. Returns 0
/// or the errno; how many bytes were written is left in `written[0]`.
#[cfg(unix)]
#[napi(js_name = "writeRanges")]
pub fn write_ranges(
    file: i32,
    bytes: &[u8],
    ranges: &[u32],
    count: u32,
    position: f64,
    mut written: Float64Array,
) -> Result<i32> {
    let pairs = ranges
        .get(..count as usize * 2)
        .ok_or_else(|| Error::new(Status::InvalidArg, "ranges is too short"))?;
    let slices = pairs
        .chunks_exact(2)
        .map(|pair| part(bytes, pair[0], pair[1]))
        .collect::<Result<Vec<&[u8]>>>()?;
    let outcome = descriptors::write_all_at(borrowed(file)?, &slices, position as u64);
    // SAFETY: the array is the caller's own, no other thread knows of it, and nothing else here refers to its memory
    // while the slice lives.
    let out = unsafe { written.as_mut() };
    let (count, errno) = match outcome {
        Ok(count) => (count, 0),
        Err((count, error)) => (count, error.raw_os_error()),
    };
    *out.first_mut()
        .ok_or_else(|| Error::new(Status::InvalidArg, "written is too short"))? = count as f64;
    Ok(errno)
}

/// Sends bytes to a socket that does not block, and returns how many it took; `has_more` when others follow at once.
#[cfg(target_os = "linux")]
#[napi(js_name = "send")]
pub fn send(socket: i32, bytes: &[u8], has_more: bool) -> Result<u32> {
    Ok(descriptors::send(borrowed(socket)?, bytes, has_more) as u32)
}

/// Sends bytes of a file to a socket that does not block; returns how many it took.
#[cfg(target_os = "linux")]
#[napi(js_name = "sendFile")]
pub fn send_file(socket: i32, file: i32, position: f64, length: f64) -> Result<f64> {
    let (socket, file) = (borrowed(socket)?, borrowed(file)?);
    Ok(descriptors::send_file(socket, file, position as u64, length as u64) as f64)
}

#[cfg(unix)]
fn borrowed<'a>(descriptor: i32) -> Result<BorrowedFd<'a>> {
    if descriptor < 0 {
        return Err(Error::new(
            Status::InvalidArg,
            "a descriptor is not negative",
        ));
    }
    // SAFETY: it is used within the call alone. Node's thread made the call and is the one that closes descriptors, so
    // that the number stands for the same open file until the call returns; one that is closed already makes an error.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor) })
}

fn part(bytes: &[u8], start: u32, end: u32) -> Result<&[u8]> {
    bytes.get(start as usize..end as usize).ok_or_else(|| {
        Error::new(
            Status::InvalidArg,
            format!("[{start}, {end}) of {} bytes", bytes.len()),
        )
    })
}
