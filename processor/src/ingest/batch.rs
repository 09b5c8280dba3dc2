//! Records of one partition on their way from the poll thread to a worker, copied once into one buffer.
//!
//! A batch goes back to the pool when it is used up, so that nothing is allocated per record or per batch.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::message::{Headers, Message};

use crate::partition::RawRecord;

/// Buffers above this size are freed instead of kept.
const KEPT_BYTES: usize = 1024 * 1024;
/// Batches that wait in the pool at most.
const KEPT_BATCHES: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    record_time_us: Option<i64>,
    key_end: usize,
    value_end: usize,
    headers_end: usize,
}

/// Records in log order.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Batch {
    /// Copies a message to the end.
    pub fn push(&mut self, message: &impl Message) {
        self.bytes.extend_from_slice(message.key().unwrap_or_default());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(message.payload().unwrap_or_default());
        let value_end = self.bytes.len();
        if let Some(headers) = message.headers() {
            write_headers(&mut self.bytes, headers);
        }
        self.entries.push(Entry {
            offset: message.offset(),
            record_time_us: message
                .timestamp()
                .to_millis()
                .map(|millis| millis.saturating_mul(1000)),
            key_end,
            value_end,
            headers_end: self.bytes.len(),
        });
    }

    /// The records in order.
    pub fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let record = RawRecord {
                offset: entry.offset,
                record_time_us: entry.record_time_us,
                key: &self.bytes[start..entry.key_end],
                value: &self.bytes[entry.key_end..entry.value_end],
                // Written by `write_headers`, hence always UTF-8.
                headers: std::str::from_utf8(&self.bytes[entry.value_end..entry.headers_end]).unwrap_or_default(),
            };
            start = entry.headers_end;
            record
        })
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// Headers as canonical JSON: `[["name","base64 value"],…]`, a missing value as null.
fn write_headers(bytes: &mut Vec<u8>, headers: &impl Headers) {
    let pairs: Vec<(&str, Option<String>)> = headers
        .iter()
        .map(|header| (header.key, header.value.map(base64)))
        .collect();
    if let Ok(text) = serde_json::to_vec(&pairs) {
        // Writing to a Vec cannot fail.
        let _ = bytes.write_all(&text);
    }
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let known = digit <= chunk.len();
            let index = (word >> (18 - 6 * digit)) & 63;
            text.push(if known {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    text
}

/// Used-up batches, shared by the poll thread and the workers.
#[derive(Debug, Clone, Default)]
pub struct BatchPool(Arc<Mutex<Vec<Batch>>>);

impl BatchPool {
    /// An empty batch.
    #[must_use]
    pub fn take(&self) -> Batch {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Takes a batch back.
    pub fn give_back(&self, mut batch: Batch) {
        if batch.bytes.capacity() > KEPT_BYTES {
            return;
        }
        batch.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BATCHES {
            kept.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    fn message(offset: i64, key: &str, value: &str, headers: Option<OwnedHeaders>) -> OwnedMessage {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        OwnedMessage::new(
            bytes(value),
            bytes(key),
            "t".into(),
            Timestamp::CreateTime(7),
            0,
            offset,
            headers,
        )
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let headers = OwnedHeaders::new().insert(Header {
            key: "trace",
            value: Some("ab"),
        });
        let mut batch = Batch::default();
        batch.push(&message(3, "BTC", "one", Some(headers)));
        batch.push(&message(5, "", "two", None));
        let records: Vec<_> = batch
            .records()
            .map(|r| (r.offset, r.key.to_vec(), r.value.to_vec(), r.headers))
            .collect();
        assert_eq!(
            records,
            [
                (3, b"BTC".to_vec(), b"one".to_vec(), r#"[["trace","YWI="]]"#),
                (5, vec![], b"two".to_vec(), "")
            ]
        );
        assert_eq!(batch.records().next().unwrap().record_time_us, Some(7000));
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_batch_from_the_pool_is_empty() {
        let pool = BatchPool::default();
        let mut batch = pool.take();
        batch.push(&message(0, "k", "v", None));
        pool.give_back(batch);
        assert!(pool.take().is_empty());
    }
}
