//! The identity of a revision: a hash of everything that can change a result, and an ordinal for instances of equal settings.

use std::fmt;
use std::str::FromStr;

/// Raised only when `step` can give other bytes for the same log. A processor refuses a revision made for another number.
pub const ENGINE_SEMANTICS: u32 = 1;

/// Hex digits of the hash that a revision's id shows: 40 bits, far more than the revisions of one pipeline need.
const HASH_DIGITS: usize = 10;

/// Everything that can change a result.
#[derive(Debug, Clone, Copy)]
pub struct RevisionInputs<'a> {
    /// Canonical settings text.
    pub settings: &'a str,
    /// Meaning of the engine's step function.
    pub engine_semantics: u32,
    /// Id that the brokers gave the topic; empty where they give none.
    pub topic_identity: &'a str,
    /// Partitions of the topic.
    pub partitions: i32,
}

impl RevisionInputs<'_> {
    /// The first hex digits of blake3 over the inputs, each led by its length so that no two inputs run into one another.
    #[must_use]
    pub fn hash(&self) -> String {
        let semantics = self.engine_semantics.to_string();
        let partitions = self.partitions.to_string();
        let mut hasher = blake3::Hasher::new();
        for part in [
            "assay revision",
            self.settings,
            &semantics,
            self.topic_identity,
            &partitions,
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..HASH_DIGITS].to_owned()
    }

    /// The id of the instance with this ordinal.
    #[must_use]
    pub fn id(&self, ordinal: u32) -> RevisionId {
        RevisionId {
            hash: self.hash(),
            ordinal,
        }
    }
}

/// A revision's id: `HASH-ORDINAL`, safe as a DNS label and as a label value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId {
    hash: String,
    ordinal: u32,
}

/// A text that is no revision id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revision; take one from `kubectl get sp NAME -o yaml`, status.revisions, such as 1a2b3c4d5e-1")]
pub struct RevisionIdError(String);

impl RevisionId {
    /// The hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Counts instances of equal settings, from 1.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.hash, self.ordinal)
    }
}

impl FromStr for RevisionId {
    type Err = RevisionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || RevisionIdError(text.to_owned());
        let (hash, ordinal) = text.split_once('-').ok_or_else(wrong)?;
        let is_hash =
            hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let ordinal: u32 = ordinal.parse().map_err(|_| wrong())?;
        if !is_hash || ordinal == 0 {
            return Err(wrong());
        }
        Ok(Self {
            hash: hash.to_owned(),
            ordinal,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const INPUTS: RevisionInputs<'static> = RevisionInputs {
        settings: "{}",
        engine_semantics: 1,
        topic_identity: "abc",
        partitions: 3,
    };

    #[rstest]
    #[case::settings(RevisionInputs { settings: "{ }", ..INPUTS })]
    #[case::semantics(RevisionInputs { engine_semantics: 2, ..INPUTS })]
    #[case::topic(RevisionInputs { topic_identity: "abd", ..INPUTS })]
    #[case::partitions(RevisionInputs { partitions: 4, ..INPUTS })]
    fn each_input_changes_the_hash(#[case] changed: RevisionInputs<'_>) {
        assert_ne!(changed.hash(), INPUTS.hash());
    }

    #[test]
    fn inputs_do_not_run_into_one_another() {
        let other = RevisionInputs {
            settings: "{}1",
            engine_semantics: 1,
            topic_identity: "bc",
            ..INPUTS
        };
        assert_ne!(
            RevisionInputs {
                topic_identity: "abc",
                ..INPUTS
            }
            .hash(),
            other.hash()
        );
    }

    #[test]
    fn an_id_survives_its_text() {
        let id = INPUTS.id(7);
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert!(id.to_string().len() <= 20);
    }

    #[rstest]
    #[case("")]
    #[case("1a2b3c4d5e")]
    #[case("1a2b3c4d5e-0")]
    #[case("1A2B3C4D5E-1")]
    #[case("short-1")]
    fn another_text_is_no_id(#[case] text: &str) {
        assert!(text.parse::<RevisionId>().is_err());
    }
}
