//! The known name that somebody most likely meant.

/// The candidate nearest to `wrong`, if one is near enough to be a slip of the fingers: one change
/// for each three characters, at least one. Case costs nothing.
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong: Vec<char> = wrong.to_lowercase().chars().collect();
    let distance_max = (wrong.len() / 3).max(1);
    let by_distance = candidates.into_iter().map(|it| (distance(&wrong, it), it));
    let near = by_distance.filter(|(distance, it)| {
        // A name of one or two characters is near to every other one.
        *distance <= distance_max && *distance < it.chars().count()
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, it)| it)
}

/// The fewest insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if 0 < i && 0 < j && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// `; did you mean …?`, or nothing.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["command", "connector", "concurrency", "retries"];

    #[test]
    fn a_slip_finds_what_was_meant() {
        for (wrong, meant) in [
            ("comand", "command"),
            ("Command", "command"),
            ("conector", "connector"),
            ("retires", "retries"),
            ("concurency", "concurrency"),
        ] {
            assert_eq!(nearest(wrong, KEYS), Some(meant), "{wrong}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("banana", KEYS), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
        assert_eq!(nearest("", KEYS), None);
    }
}
