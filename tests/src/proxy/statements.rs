//! Which statements a client asks a Postgres server to run: the extended protocol's Parse, Bind and simple Query.

use std::collections::HashMap;

use super::Protocol;

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Statements {
    protocol: Protocol,
    pending: Vec<u8>,
    started: bool,
    prepared: HashMap<Vec<u8>, String>,
}

impl Statements {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            pending: Vec::new(),
            started: false,
            prepared: HashMap::new(),
        }
    }

    /// Takes bytes on their way to the server and gives the texts of the statements that begin to run with them.
    pub(super) fn observe(&mut self, bytes: &[u8]) -> Vec<String> {
        if self.protocol == Protocol::Bytes {
            return vec![String::from_utf8_lossy(bytes).into_owned()];
        }
        self.pending.extend_from_slice(bytes);
        let mut run = Vec::new();
        while let Some(message) = self.next_message() {
            run.extend(self.statement_of(&message));
        }
        run
    }

    /// A whole message: the kind's byte (0 for those of the start, which have none) and its body.
    fn next_message(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = if self.started { 5 } else { 4 };
        let length = self.pending.get(header - 4..header)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let end = header - 4 + length;
        if self.pending.len() < end {
            return None;
        }
        let kind = if self.started { self.pending[0] } else { 0 };
        let message: Vec<u8> = self.pending.drain(..end).skip(header).collect();
        // A request for encryption (80877103) comes before the start itself.
        self.started |= message.get(..4) != Some(&80_877_103_u32.to_be_bytes());
        Some((kind, message))
    }

    fn statement_of(&mut self, (kind, body): &(u8, Vec<u8>)) -> Option<String> {
        let mut texts = body.split(|byte| *byte == 0);
        let (first, second) = (texts.next()?, texts.next().unwrap_or_default());
        match kind {
            b'P' => {
                self.prepared
                    .insert(first.to_vec(), String::from_utf8_lossy(second).into_owned());
                None
            }
            b'B' => self.prepared.get(second).cloned(),
            b'Q' => Some(String::from_utf8_lossy(first).into_owned()),
            _ => None,
        }
    }
}

/// Whether a server's answer ends here: `ReadyForQuery` is its last message.
pub(super) fn is_ready_for_query(bytes: &[u8]) -> bool {
    bytes.len() >= 6 && bytes[bytes.len() - 6..].starts_with(&[b'Z', 0, 0, 0, 5])
}
