//! A part of something: so much, or so many percent of it.

use std::fmt;

use gannet_protocols_model::ByteSize;

/// Bytes, or a count, or percent of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// So many.
    Of(u64),
    /// Hundredths of all.
    Percent(u8),
}

impl Amount {
    /// `100Mi`, `5%`, `1000`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an amount: use 100Mi, 1G, 5% or a plain number");
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.trim().parse::<u8>().ok().filter(|p| *p <= 100).ok_or_else(wrong)?;
            return Ok(Self::Percent(percent));
        }
        ByteSize::parse(text).map(|size| Self::Of(size.0)).map_err(|_| wrong())
    }

    /// How much that is where there is so much in all; never more than all.
    pub(crate) fn of(self, all: u64) -> u64 {
        match self {
            Self::Of(amount) => amount.min(all),
            Self::Percent(percent) => all / 100 * u64::from(percent) + all % 100 * u64::from(percent) / 100,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(amount) => f.write_str(&ByteSize(*amount).to_quantity()),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, of_1000, again) in [
            ("5%", 50, "5%"),
            ("100%", 1000, "100%"),
            ("0%", 0, "0%"),
            ("10", 10, "10"),
            ("1Mi", 1000, "1Mi"),
        ] {
            let amount = Amount::parse(text).unwrap();
            assert_eq!((amount.of(1000), amount.to_string()), (of_1000, again.to_owned()), "{text}");
        }
        for text in ["", "%", "101%", "-1", "5 percent", "1.5%", "Mi"] {
            assert!(Amount::parse(text).is_err(), "{text}");
        }
        assert_eq!(Amount::Percent(50).of(u64::MAX), u64::MAX / 2);
    }
}
