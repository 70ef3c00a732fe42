//! Record batches: built once, sent many times with another sequence, timestamp and checksum.

use std::rc::Rc;

use crate::failure::{Failure, Result};
use crate::wire::push_varint;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// The length counts from the byte behind it.
const BEFORE_LENGTH_ENDS: usize = LENGTH_AT + 4;
const MAGIC: u8 = 2;

/// Below this it is cheaper to sum the records again than to combine two checksums.
const COMBINE_FROM_BYTES: usize = 16 * 1024;

/// Whose batches these are; -1 in both for a producer that is not idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerId {
    pub id: i64,
    pub epoch: i16,
}

impl ProducerId {
    pub const NONE: Self = Self { id: -1, epoch: -1 };
}

/// The records of a batch, followed by the tags that end a Produce request of one partition. Never changed: every
/// connection and partition sends the same bytes.
pub struct Payload {
    pub bytes: Rc<[u8]>,
    pub record_count: u32,
    records_bytes: usize,
    records_crc: u32,
}

/// The tagged fields of a partition, of a topic and of the request, all empty.
const CLOSING_TAGS: [u8; 3] = [0; 3];

impl Payload {
    pub fn of_records(record_count: u32, record_bytes: usize) -> Self {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut records = Vec::new();
        for delta in 0..record_count {
            push_record(&mut records, delta, record_bytes, &mut noise);
        }
        let records_bytes = records.len();
        let records_crc = crc32c::crc32c(&records);
        records.extend_from_slice(&CLOSING_TAGS);
        Self {
            bytes: records.into(),
            record_count,
            records_bytes,
            records_crc,
        }
    }

    /// As many records as a batch of that size holds, and at least one.
    pub fn of_batch_bytes(batch_bytes: usize, record_bytes: usize) -> Self {
        let mut records = Vec::new();
        let mut record_count = 0;
        loop {
            push_record(&mut records, record_count, record_bytes, &mut Noise(1));
            if HEADER_BYTES + records.len() > batch_bytes {
                return Self::of_records(record_count.max(1), record_bytes);
            }
            record_count += 1;
        }
    }

    pub fn batch_bytes(&self) -> usize {
        HEADER_BYTES + self.records_bytes
    }

    fn records(&self) -> &[u8] {
        &self.bytes[..self.records_bytes]
    }

    /// A header that lacks what differs from batch to batch.
    pub fn header(&self, producer: ProducerId) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let length = (self.batch_bytes() - BEFORE_LENGTH_ENDS) as i32;
        put(&mut header, LENGTH_AT, length.to_be_bytes());
        // The leader's epoch is the broker's to fill in.
        put(&mut header, LENGTH_AT + 4, (-1i32).to_be_bytes());
        header[MAGIC_AT] = MAGIC;
        put(
            &mut header,
            LAST_OFFSET_DELTA_AT,
            (self.record_count as i32 - 1).to_be_bytes(),
        );
        put(&mut header, PRODUCER_ID_AT, producer.id.to_be_bytes());
        put(&mut header, PRODUCER_EPOCH_AT, producer.epoch.to_be_bytes());
        put(
            &mut header,
            RECORD_COUNT_AT,
            self.record_count.to_be_bytes(),
        );
        header
    }

    /// Makes the header that of the next batch. `header` is the slice that a request holds.
    pub fn stamp(&self, header: &mut [u8], base_sequence: i32, timestamp_ms: i64) {
        put(header, BASE_TIMESTAMP_AT, timestamp_ms.to_be_bytes());
        put(header, MAX_TIMESTAMP_AT, timestamp_ms.to_be_bytes());
        put(header, BASE_SEQUENCE_AT, base_sequence.to_be_bytes());
        let start = crc32c::crc32c(&header[ATTRIBUTES_AT..HEADER_BYTES]);
        let crc = if self.records_bytes < COMBINE_FROM_BYTES {
            crc32c::crc32c_append(start, self.records())
        } else {
            crc32c::crc32c_combine(start, self.records_crc, self.records_bytes)
        };
        put(header, CRC_AT, crc.to_be_bytes());
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn push_record(records: &mut Vec<u8>, offset_delta: u32, value_bytes: usize, noise: &mut Noise) {
    let mut body = vec![0];
    push_varint(&mut body, 0);
    push_varint(&mut body, i64::from(offset_delta));
    push_varint(&mut body, -1);
    push_varint(&mut body, value_bytes as i64);
    body.extend((0..value_bytes).map(|_| noise.letter()));
    push_varint(&mut body, 0);
    push_varint(records, body.len() as i64);
    records.extend_from_slice(&body);
}

/// Letters without a pattern, the same in every run.
struct Noise(u64);

impl Noise {
    fn letter(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        b'a' + (self.0 % 26) as u8
    }
}

/// What a reader wants to know of a batch that it fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub base_offset: i64,
    pub last_offset: i64,
    pub record_count: u32,
    pub producer_id: i64,
    pub base_sequence: i32,
    pub bytes: usize,
}

/// The first batch in `bytes`, or None where no whole one is left: an answer may end in the middle of a batch.
pub fn first_batch(bytes: &[u8], checks_crc: bool) -> Result<Option<Stored>> {
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let length = i32::from_be_bytes(at(bytes, LENGTH_AT));
    let size = usize::try_from(length)
        .map_err(|_| Failure::new(format!("a batch says {length} bytes")))?;
    let size = size + BEFORE_LENGTH_ENDS;
    if size < HEADER_BYTES || bytes[MAGIC_AT] != MAGIC {
        return Err(Failure::new(format!(
            "a batch of {size} bytes has magic {}",
            bytes[MAGIC_AT]
        )));
    }
    if bytes.len() < size {
        return Ok(None);
    }
    if checks_crc {
        let stored = u32::from_be_bytes(at(bytes, CRC_AT));
        let seen = crc32c::crc32c(&bytes[ATTRIBUTES_AT..size]);
        if stored != seen {
            return Err(Failure::new(format!(
                "a batch has checksum {seen:08x} and says {stored:08x}"
            )));
        }
    }
    let base_offset = i64::from_be_bytes(at(bytes, 0));
    Ok(Some(Stored {
        base_offset,
        last_offset: base_offset + i64::from(i32::from_be_bytes(at(bytes, LAST_OFFSET_DELTA_AT))),
        record_count: u32::from_be_bytes(at(bytes, RECORD_COUNT_AT)),
        producer_id: i64::from_be_bytes(at(bytes, PRODUCER_ID_AT)),
        base_sequence: i32::from_be_bytes(at(bytes, BASE_SEQUENCE_AT)),
        bytes: size,
    }))
}

fn at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

/// The sequence of the batch after this one; it starts again at 0 behind the largest.
pub fn next_sequence(sequence: i32, record_count: u32) -> i32 {
    ((i64::from(sequence) + i64::from(record_count)) % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payload: &Payload, sequence: i32) -> Vec<u8> {
        let mut bytes = payload.header(ProducerId { id: 77, epoch: 3 }).to_vec();
        payload.stamp(&mut bytes, sequence, 1_700_000_000_000);
        bytes.extend_from_slice(payload.records());
        bytes
    }

    #[test]
    fn is_a_batch_that_a_reader_accepts_with_its_checksum_for_small_and_large_records() {
        for (count, record_bytes) in [(1, 100), (100, 100), (590, 100), (9000, 100), (64, 1024)] {
            let payload = Payload::of_records(count, record_bytes);
            let bytes = batch(&payload, 590);
            let stored = first_batch(&bytes, true).unwrap().unwrap();
            let expected = Stored {
                base_offset: 0,
                last_offset: i64::from(count) - 1,
                record_count: count,
                producer_id: 77,
                base_sequence: 590,
                bytes: payload.batch_bytes(),
            };
            assert_eq!(stored, expected);
        }
    }

    #[test]
    fn has_the_layout_that_kafka_writes() {
        // One record "hello" without key, as the console producer of Apache Kafka sends it, but for its id and time.
        let mut payload = Payload::of_records(1, 5);
        payload.bytes = [&[0x16, 0, 0, 0, 1, 10][..], b"hello", &[0, 0, 0, 0]]
            .concat()
            .into();
        let mut header = payload.header(ProducerId {
            id: 0x1122,
            epoch: 5,
        });
        payload.stamp(&mut header, 0, 0x0102_0304_0506);
        assert_eq!(header[..8], [0; 8]);
        assert_eq!(header[8..12], [0, 0, 0, 61]);
        assert_eq!(header[12..17], [0xff, 0xff, 0xff, 0xff, 2]);
        assert_eq!(header[21..27], [0; 6]);
        assert_eq!(header[27..35], [0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(header[43..51], [0, 0, 0, 0, 0, 0, 0x11, 0x22]);
        assert_eq!(header[51..61], [0, 5, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn fits_a_batch_into_the_bytes_it_is_given() {
        for batch_bytes in [200, 16_384, 65_536, 1_048_576] {
            let payload = Payload::of_batch_bytes(batch_bytes, 100);
            let larger = Payload::of_records(payload.record_count + 1, 100);
            assert!(payload.batch_bytes() <= batch_bytes && larger.batch_bytes() > batch_bytes);
        }
        assert_eq!(Payload::of_batch_bytes(10, 100).record_count, 1);
    }

    #[test]
    fn notices_a_changed_byte_where_it_is_asked_to_check() {
        let mut bytes = batch(&Payload::of_records(3, 100), 0);
        bytes[100] ^= 1;
        assert!(first_batch(&bytes, true).is_err());
        assert!(first_batch(&bytes, false).is_ok());
    }

    #[test]
    fn leaves_a_batch_that_is_cut_to_the_next_answer() {
        let bytes = batch(&Payload::of_records(3, 100), 0);
        for end in 0..bytes.len() {
            assert_eq!(first_batch(&bytes[..end], true).unwrap(), None);
        }
    }

    #[test]
    fn counts_sequences_past_the_largest() {
        assert_eq!(next_sequence(0, 590), 590);
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        assert_eq!(next_sequence(i32::MAX - 1, 5), 3);
    }
}
