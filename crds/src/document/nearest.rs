//! The known name nearest to a misspelt one.

/// The candidate with the smallest edit distance, where at most a third of the name would have to change.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let ranked = candidates.map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate));
    let (found, candidate) = ranked.min()?;
    (found <= (name.chars().count() / 3).max(1)).then_some(candidate)
}

/// Levenshtein distance, by the usual two-row table.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_field() {
        let known = ["lateness", "historyWindow", "strategies"];
        assert_eq!(nearest("latenes", known.into_iter()), Some("lateness"));
        assert_eq!(nearest("historywindow", known.into_iter()), Some("historyWindow"));
    }

    #[test]
    fn something_else_altogether_finds_nothing() {
        assert_eq!(nearest("colour", ["lateness", "strategies"].into_iter()), None);
    }
}
