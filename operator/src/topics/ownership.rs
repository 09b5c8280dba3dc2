//! Two pipelines may name one topic. Equal wishes are fine; the oldest owns it and repairs it; a newer one that wishes otherwise is told.

use super::plan::TopicWish;

/// A pipeline's claim on a topic of a broker set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// `NAMESPACE/NAME`.
    pub pipeline: String,
    /// Creation time, seconds since the epoch, then uid: the order of claims.
    pub age: (i64, String),
    /// What it wants.
    pub wish: TopicWish,
}

/// What a pipeline may do with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the oldest: creates and repairs.
    Owner,
    /// An older one owns it and wants the same.
    Shares {
        /// The owner.
        owner: String,
    },
    /// An older one owns it and wants something else.
    Conflicts {
        /// The owner.
        owner: String,
        /// Where they differ.
        difference: String,
    },
}

/// The standing of `own` among all other claims on the same topic; claims of pipelines that are being deleted are not among them.
#[must_use]
pub fn standing(own: &Claim, others: &[Claim]) -> Standing {
    let older = others
        .iter()
        .filter(|other| other.wish.name == own.wish.name && other.age < own.age);
    let Some(owner) = older.min_by(|a, b| a.age.cmp(&b.age)) else {
        return Standing::Owner;
    };
    match own.wish.difference(&owner.wish) {
        None => Standing::Shares {
            owner: owner.pipeline.clone(),
        },
        Some(difference) => Standing::Conflicts {
            owner: owner.pipeline.clone(),
            difference,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(pipeline: &str, age: i64, partitions: i32) -> Claim {
        let wish = TopicWish {
            name: "raw.trades".into(),
            partitions,
            ..TopicWish::default()
        };
        Claim {
            pipeline: pipeline.into(),
            age: (age, pipeline.into()),
            wish,
        }
    }

    #[test]
    fn the_oldest_owns_the_topic() {
        assert_eq!(standing(&claim("a", 1, 3), &[claim("b", 2, 3)]), Standing::Owner);
    }

    #[test]
    fn a_newer_one_with_an_equal_wish_shares_it() {
        assert_eq!(
            standing(&claim("b", 2, 3), &[claim("a", 1, 3)]),
            Standing::Shares { owner: "a".into() }
        );
    }

    #[test]
    fn a_newer_one_with_another_wish_is_told_the_difference() {
        let Standing::Conflicts { owner, difference } = standing(&claim("b", 2, 6), &[claim("a", 1, 3)]) else {
            panic!("it should conflict");
        };
        assert_eq!((owner.as_str(), difference.as_str()), ("a", "partitions 6 against 3"));
    }

    #[test]
    fn ownership_passes_on_when_the_owner_goes() {
        let (b, c) = (claim("b", 2, 3), claim("c", 3, 3));
        assert_eq!(standing(&b, std::slice::from_ref(&c)), Standing::Owner);
        assert_eq!(standing(&c, &[b]), Standing::Shares { owner: "b".into() });
    }

    #[test]
    fn of_two_made_in_one_second_the_lower_uid_owns() {
        assert_eq!(standing(&claim("a", 1, 3), &[claim("b", 1, 3)]), Standing::Owner);
    }
}
