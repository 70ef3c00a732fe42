//! The walk over the records of an uncompressed batch body that tells whether their framing holds.
//!
//! The statuses, the facts and every decision are those of `src-js/check-records.ts`; one test suite runs over both.

/// What is wrong with the records; the numbers are shared with the TypeScript twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Ok = 0,
    BadRecordLength = 1,
    BadVarint = 2,
    BadTimestampDelta = 3,
    BadKeyLength = 4,
    BadValueLength = 5,
    BadHeaders = 6,
    RecordTooLong = 7,
    TooFewRecords = 8,
    TooManyBytes = 9,
    BadRecordCount = 12,
}

/// What was seen on the way, in the order of the array that JavaScript passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    pub max_timestamp_delta: i64,
    pub min_timestamp_delta: i64,
    pub has_contiguous_offsets: bool,
    pub first_null_key_index: i64,
    pub bad_record_index: i64,
    pub last_offset_delta: i64,
    pub max_timestamp_index: i64,
    pub position: usize,
}

impl Facts {
    pub const COUNT: usize = 8;

    pub fn write_to(&self, out: &mut [f64]) {
        out[0] = self.max_timestamp_delta as f64;
        out[1] = self.min_timestamp_delta as f64;
        out[2] = f64::from(self.has_contiguous_offsets);
        out[3] = self.first_null_key_index as f64;
        out[4] = self.bad_record_index as f64;
        out[5] = self.last_offset_delta as f64;
        out[6] = self.max_timestamp_index as f64;
        out[7] = self.position as f64;
    }
}

/// The smallest record behind its length: six one-byte fields.
const MIN_LENGTH: i32 = 6;
const MIN_HEADER_BYTES: usize = 2;
/// Beyond this a double does not hold every integer, and JavaScript has no other number on its hot path.
const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// Walks `bytes`, which must hold exactly `record_count` records.
pub fn check(bytes: &[u8], record_count: i32) -> (Status, Facts) {
    let mut facts = Facts {
        max_timestamp_delta: 0,
        min_timestamp_delta: 0,
        has_contiguous_offsets: true,
        first_null_key_index: -1,
        bad_record_index: -1,
        last_offset_delta: -1,
        max_timestamp_index: -1,
        position: 0,
    };
    let mut status = if record_count >= 0 {
        Status::Ok
    } else {
        Status::BadRecordCount
    };
    let mut index = 0;
    while index < record_count {
        match record(bytes, facts.position) {
            Ok(seen) => {
                note(&mut facts, &seen, i64::from(index));
                facts.position = seen.end;
            }
            Err(wrong) => {
                status = wrong;
                break;
            }
        }
        index += 1;
    }
    if status == Status::Ok && facts.position != bytes.len() {
        status = Status::TooManyBytes;
    }
    if status != Status::Ok {
        facts.bad_record_index = i64::from(index);
    }
    (status, facts)
}

struct Record {
    timestamp_delta: i64,
    offset_delta: i32,
    has_key: bool,
    end: usize,
}

#[inline(always)]
fn note(facts: &mut Facts, seen: &Record, index: i64) {
    if index == 0 || seen.timestamp_delta > facts.max_timestamp_delta {
        facts.max_timestamp_delta = seen.timestamp_delta;
        facts.max_timestamp_index = index;
    }
    if index == 0 || seen.timestamp_delta < facts.min_timestamp_delta {
        facts.min_timestamp_delta = seen.timestamp_delta;
    }
    facts.has_contiguous_offsets &= i64::from(seen.offset_delta) == index;
    if !seen.has_key && facts.first_null_key_index < 0 {
        facts.first_null_key_index = index;
    }
    facts.last_offset_delta = i64::from(seen.offset_delta);
}

#[inline(always)]
fn record(bytes: &[u8], start: usize) -> Result<Record, Status> {
    if start >= bytes.len() {
        return Err(Status::TooFewRecords);
    }
    let (length, body) = varint(bytes, start).ok_or(Status::BadRecordLength)?;
    if length < MIN_LENGTH || length as usize > bytes.len() - body {
        return Err(Status::BadRecordLength);
    }
    let end = body + length as usize;
    let record = &bytes[..end];
    let (timestamp_delta, at) = varlong(record, body + 1).ok_or(Status::BadVarint)?;
    if !(-SAFE_INTEGER_MAX..=SAFE_INTEGER_MAX).contains(&timestamp_delta) {
        return Err(Status::BadTimestampDelta);
    }
    let (offset_delta, at) = varint(record, at).ok_or(Status::BadVarint)?;
    let (key_length, at) = varint(record, at).ok_or(Status::BadVarint)?;
    let at = skip(record, at, key_length).ok_or(Status::BadKeyLength)?;
    let (value_length, at) = varint(record, at).ok_or(Status::BadVarint)?;
    let at = skip(record, at, value_length).ok_or(Status::BadValueLength)?;
    let (header_count, mut at) = varint(record, at).ok_or(Status::BadVarint)?;
    if header_count != 0 {
        at = headers(record, at, header_count).ok_or(Status::BadHeaders)?;
    }
    if at != end {
        return Err(Status::RecordTooLong);
    }
    Ok(Record {
        timestamp_delta,
        offset_delta,
        has_key: key_length >= 0,
        end,
    })
}

/// Where `length` bytes from `at` end; -1 stands for null and takes none.
#[inline(always)]
fn skip(bytes: &[u8], at: usize, length: i32) -> Option<usize> {
    if length < 0 {
        return (length == -1).then_some(at);
    }
    let length = length as usize;
    (length <= bytes.len() - at).then_some(at + length)
}

fn headers(bytes: &[u8], start: usize, count: i32) -> Option<usize> {
    if count < 0 || count as usize > (bytes.len() - start) / MIN_HEADER_BYTES {
        return None;
    }
    let mut at = start;
    for _ in 0..count {
        let (key_length, key) = varint(bytes, at)?;
        if key_length < 0 {
            return None;
        }
        let (value_length, value) = varint(bytes, skip(bytes, key, key_length)?)?;
        at = skip(bytes, value, value_length)?;
    }
    Some(at)
}

/// A zigzag int32 of at most five bytes; as in Kafka, bits of the fifth byte beyond the 32nd are dropped.
#[inline(always)]
fn varint(bytes: &[u8], start: usize) -> Option<(i32, usize)> {
    let mut raw: u32 = 0;
    for i in 0..5 {
        let byte = *bytes.get(start + i)?;
        raw |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((((raw >> 1) as i32) ^ -((raw & 1) as i32), start + i + 1));
        }
    }
    None
}

/// A zigzag int64 of at most ten bytes; bits of the tenth byte beyond the 64th make it larger than any number here.
#[inline(always)]
fn varlong(bytes: &[u8], start: usize) -> Option<(i64, usize)> {
    let mut raw: u64 = 0;
    for i in 0..10 {
        let byte = *bytes.get(start + i)?;
        raw |= u64::from(byte & 0x7f)
            .checked_shl(7 * i as u32)
            .unwrap_or(0);
        if byte < 0x80 {
            if i == 9 && byte > 1 {
                return Some((i64::MAX, start + i + 1));
            }
            return Some((((raw >> 1) as i64) ^ -((raw & 1) as i64), start + i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record with the given deltas, no key, value or header.
    fn plain(timestamp_delta: u8, offset_delta: u8) -> Vec<u8> {
        vec![12, 0, timestamp_delta << 1, offset_delta << 1, 1, 1, 0]
    }

    #[test]
    fn tells_what_it_saw() {
        let bytes = [plain(5, 0), plain(9, 1), plain(2, 2)].concat();
        let (status, facts) = check(&bytes, 3);
        assert_eq!(status, Status::Ok);
        assert_eq!(
            (facts.max_timestamp_delta, facts.max_timestamp_index),
            (9, 1)
        );
        assert_eq!(facts.min_timestamp_delta, 2);
        assert!(facts.has_contiguous_offsets);
        assert_eq!(
            (facts.first_null_key_index, facts.last_offset_delta),
            (0, 2)
        );
        assert_eq!(facts.position, bytes.len());
    }

    #[test]
    fn names_the_record_that_is_wrong() {
        let mut bytes = [plain(0, 0), plain(0, 1)].concat();
        bytes[7] = 60;
        let (status, facts) = check(&bytes, 2);
        assert_eq!(
            (status, facts.bad_record_index),
            (Status::BadRecordLength, 1)
        );
    }

    #[test]
    fn counts_records_and_bytes() {
        assert_eq!(check(&plain(0, 0), 2).0, Status::TooFewRecords);
        assert_eq!(
            check(&[plain(0, 0), plain(0, 1)].concat(), 1).0,
            Status::TooManyBytes
        );
        assert_eq!(check(&[], -1).0, Status::BadRecordCount);
    }

    #[test]
    fn never_reads_beyond_any_cut() {
        let bytes = [plain(5, 0), plain(9, 1)].concat();
        for length in 0..bytes.len() {
            assert_ne!(check(&bytes[..length], 2).0, Status::Ok);
        }
    }
}
