//! The part of a URL behind the question mark.

use gannet_hub_objects::Status;

/// Decoded name and value pairs, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (decode(n), decode(v)))
                .collect(),
        )
    }

    /// The first value of this name that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The values of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// True for `1`, `t`, `true` and an empty value, as in Kubernetes.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.all(name).next().is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "0" | "f" | "false"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let parse = |v: &str| {
            v.parse::<i64>().map_err(|_| {
                Status::bad_request(format!(
                    "strconv.ParseInt: parsing {v:?}: invalid syntax of parameter {name}"
                ))
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// `dryRun=All`; another value is refused.
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

/// Takes `%XX` and `+` out. What is no UTF-8 afterwards is replaced: it will name nothing.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                at += 1;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let query = Query::parse(
            "labelSelector=app%3Dweb%2Ctier+in+%28a%29&watch=true&limit=500&follow&x=%zz&empty=",
        );
        assert_eq!(query.get("labelSelector"), Some("app=web,tier in (a)"));
        assert!(query.flag("watch") && query.flag("follow") && !query.flag("absent"));
        assert_eq!(query.number("limit").unwrap(), Some(500));
        assert_eq!(query.get("x"), Some("%zz"));
        assert_eq!(query.get("empty"), None);
        assert!(query.number("x").is_err());
        assert!(!Query::parse("watch=0").flag("watch"));
        assert!(Query::parse("dryRun=All").dry_run().unwrap());
        assert!(Query::parse("dryRun=Some").dry_run().is_err());
    }
}
