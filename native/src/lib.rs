//! The hot path's primitives for Node. Each has a twin in `src-js/` with the same answers.

mod records;

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

fn part(bytes: &[u8], start: u32, end: u32) -> Result<&[u8]> {
    bytes.get(start as usize..end as usize).ok_or_else(|| {
        Error::new(
            Status::InvalidArg,
            format!("[{start}, {end}) of {} bytes", bytes.len()),
        )
    })
}
