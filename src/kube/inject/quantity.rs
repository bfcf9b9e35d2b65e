//! Quantities of Kubernetes, such as `100m` and `64Mi`, read so far that two can be compared.

/// Reads a quantity in thousandths of its unit; `None` when it is none, or none that a container of ours may have.
#[must_use]
pub fn thousandths(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let factor: u64 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || whole.len() > 12 || fraction.is_empty() || fraction.len() > 3 || fraction.contains('.') {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    // A fraction finer than a thousandth of the unit is rounded up, as Kubernetes does it.
    let part = fraction.parse::<u64>().ok()?.checked_mul(factor)?.div_ceil(scale);
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_across_suffixes() {
        for (text, wanted) in [
            ("100m", 100),
            ("1", 1_000),
            ("0.1", 100),
            ("1.5", 1_500),
            ("0.0", 0),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("64Mi", 67_108_864_000),
            ("0.5Gi", 536_870_912_000),
            ("1G", 1_000_000_000_000),
        ] {
            assert_eq!(thousandths(text), Some(wanted), "{text}");
        }
        for text in ["", "m", ".5", "1.", "1..2", "1.2.3", "-1", "+1", "1e3", "1 Mi", "1mi", "1Pi", "9999999999999", "999999999999Gi", "ä"]
        {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
