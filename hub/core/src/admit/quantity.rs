//! Quantities in Kubernetes' canonical form: `0.5` is stored as `500m`, `1024Mi` as `1Gi`.

use gannet_protocols_model::parse_quantity_nanos;
use serde_json::Value;

const ONE: i128 = 1_000_000_000;

/// A quantity in billionths, whether written as a text or a number. `None` where it is neither.
pub(super) fn nanos(value: &Value) -> Option<i128> {
    text(value).and_then(|t| parse_quantity_nanos(&t).ok())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Rewrites a quantity in its canonical form; what is none stays as it is.
pub(super) fn canonicalize(value: &mut Value) {
    if let (Some(text), Some(nanos)) = (text(value), nanos(value)) {
        *value = Value::from(canonical(nanos, family(&text)));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

fn family(text: &str) -> Family {
    if text.ends_with('i') {
        Family::Binary
    } else if text.contains(['e', 'E']) && text.ends_with(|c: char| c.is_ascii_digit()) {
        Family::Exponent
    } else {
        Family::Decimal
    }
}

fn canonical(nanos: i128, family: Family) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    if family == Family::Binary && nanos % ONE == 0 && (nanos / ONE).abs() >= 1024 {
        let mut units = nanos / ONE;
        let mut suffix = 0;
        while units % 1024 == 0 && suffix < 6 {
            units /= 1024;
            suffix += 1;
        }
        return format!("{units}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][suffix]);
    }
    let mut units = nanos;
    let mut step = 0;
    while units % 1000 == 0 && step < 9 {
        units /= 1000;
        step += 1;
    }
    match (family, i32::try_from(step).unwrap_or(0) * 3 - 9) {
        (Family::Exponent, 0) => units.to_string(),
        (Family::Exponent, exponent) => format!("{units}e{exponent}"),
        _ => format!("{units}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][step]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_forms() {
        for (given, stored) in [
            (json!("0.5"), "500m"),
            (json!(1), "1"),
            (json!(0.25), "250m"),
            (json!("1000m"), "1"),
            (json!("1500m"), "1500m"),
            (json!("1024Mi"), "1Gi"),
            (json!("1.5Gi"), "1536Mi"),
            (json!("0.5Ki"), "512"),
            (json!("1000"), "1k"),
            (json!("128000000"), "128M"),
            (json!("1e3"), "1e3"),
            (json!("12e2"), "1200"),
            (json!("0"), "0"),
            (json!("0Mi"), "0"),
            (json!("-1"), "-1"),
            (json!("1n"), "1n"),
        ] {
            let mut value = given.clone();
            canonicalize(&mut value);
            assert_eq!(value, stored, "{given}");
        }
        for wrong in [json!("x"), json!(true), json!(null), json!({}), json!("1mi")] {
            let mut value = wrong.clone();
            canonicalize(&mut value);
            assert_eq!(value, wrong);
        }
    }
}
