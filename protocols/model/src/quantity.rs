//! Kubernetes quantities (`500m`, `512Mi`, `1e3`): exact, without floats.
//!
//! Source: k8s.io/apimachinery `resource.Quantity`: `<signedNumber><suffix>`, suffix one of `n u m "" k M G T P E`,
//! `Ki Mi Gi Ti Pi Ei`, or a decimal exponent `e`/`E`.

use serde::{Deserialize, Serialize};

/// Thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuMillis(pub u64);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// Why a string is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not have a quantity's form. The sentence is the one that Kubernetes prints.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// More than 64 bits of whole units.
    #[error("quantity is out of range")]
    Range,
    /// Less than nothing.
    #[error("must be greater than or equal to 0")]
    Negative,
}

/// The quantity in billionths (`"1"` is 1,000,000,000), rounded up away from zero as Kubernetes does.
pub fn parse_quantity_nanos(text: &str) -> Result<i128, QuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(QuantityError::Form);
    }
    let (multiplier, divisor) = scale(suffix)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let mantissa: i128 = match digits {
        "" => 0,
        d if d.len() > 27 => return Err(QuantityError::Range),
        d => d.parse().map_err(|_| QuantityError::Form)?,
    };
    let fraction_digits = u32::try_from(fraction.len()).map_err(|_| QuantityError::Range)?;
    let divisor = 10_i128
        .checked_pow(fraction_digits)
        .and_then(|p| p.checked_mul(divisor))
        .ok_or(QuantityError::Range)?;
    let scaled = mantissa.checked_mul(multiplier).ok_or(QuantityError::Range)?;
    let up = scaled / divisor + i128::from(scaled % divisor != 0);
    Ok(if negative { -up } else { up })
}

/// What a suffix multiplies billionths by, and divides them by.
fn scale(suffix: &str) -> Result<(i128, i128), QuantityError> {
    const ONE: i128 = 1_000_000_000;
    Ok(match suffix {
        "n" => (1, 1),
        "u" => (1_000, 1),
        "m" => (1_000_000, 1),
        "" => (ONE, 1),
        "k" => (ONE * 1_000, 1),
        "M" => (ONE * 1_000_000, 1),
        "G" => (ONE * 1_000_000_000, 1),
        "T" => (ONE * 1_000_000_000_000, 1),
        "P" => (ONE * 1_000_000_000_000_000, 1),
        "E" => (ONE * 1_000_000_000_000_000_000, 1),
        "Ki" => (ONE << 10, 1),
        "Mi" => (ONE << 20, 1),
        "Gi" => (ONE << 30, 1),
        "Ti" => (ONE << 40, 1),
        "Pi" => (ONE << 50, 1),
        "Ei" => (ONE << 60, 1),
        other => {
            let exponent = other.strip_prefix(['e', 'E']).ok_or(QuantityError::Form)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Form)?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs()).ok_or(QuantityError::Range)?;
            if exponent < 0 { (ONE, power) } else { (ONE.checked_mul(power).ok_or(QuantityError::Range)?, 1) }
        }
    })
}

fn units(text: &str, nanos_a_unit: i128) -> Result<u64, QuantityError> {
    let nanos = parse_quantity_nanos(text)?;
    if nanos < 0 {
        return Err(QuantityError::Negative);
    }
    let up = nanos / nanos_a_unit + i128::from(nanos % nanos_a_unit != 0);
    u64::try_from(up).map_err(|_| QuantityError::Range)
}

impl CpuMillis {
    /// Parses cores (`"0.5"`, `"500m"`), rounded up to a thousandth.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        units(text, 1_000_000).map(Self)
    }

    /// As Kubernetes writes it: `2`, `500m`.
    pub fn to_quantity(self) -> String {
        if self.0.is_multiple_of(1000) { (self.0 / 1000).to_string() } else { format!("{}m", self.0) }
    }
}

impl ByteSize {
    /// Parses bytes (`"512Mi"`, `"1G"`), rounded up to a byte.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        units(text, 1_000_000_000).map(Self)
    }

    /// As Kubernetes writes it, in the largest binary unit that is exact: `512Mi`, `1000`.
    pub fn to_quantity(self) -> String {
        for (shift, suffix) in [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return format!("{}{suffix}", self.0 >> shift);
            }
        }
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu() {
        for (text, millis) in [
            ("0.5", 500),
            ("500m", 500),
            ("2", 2000),
            ("1e-1", 100),
            ("100u", 1),
            ("1n", 1),
            ("0", 0),
            ("+1", 1000),
        ] {
            assert_eq!(CpuMillis::parse(text), Ok(CpuMillis(millis)), "{text}");
        }
    }

    #[test]
    fn bytes() {
        for (text, bytes) in [
            ("512Mi", 536_870_912),
            ("1G", 1_000_000_000),
            ("1e3", 1000),
            ("1E3", 1000),
            ("0.5Ki", 512),
            ("1.5", 2),
            (".5k", 500),
            ("5.", 5),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        assert_eq!(ByteSize(536_870_912).to_quantity(), "512Mi");
    }

    #[test]
    fn wrong() {
        for text in ["", "-", "Mi", "1 Mi", "1mi", "1Mb", "abc", "1.2.3", "1e", "0x10", "1KI"] {
            assert_eq!(ByteSize::parse(text), Err(QuantityError::Form), "{text}");
        }
        assert_eq!(ByteSize::parse("-1"), Err(QuantityError::Negative));
        assert_eq!(ByteSize::parse("100E"), Err(QuantityError::Range));
        assert_eq!(ByteSize::parse(&"9".repeat(60)), Err(QuantityError::Range));
        assert_eq!(ByteSize::parse("1e99"), Err(QuantityError::Range));
    }
}
