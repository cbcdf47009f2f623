//! Which representation a client wants: `Accept` and its parameters.

use gannet_hub_objects::Status;

/// How an object or a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The object itself.
    Whole,
    /// Rows and columns, `meta.k8s.io` in this version.
    Table(&'static str),
    /// `PartialObjectMetadata`, `meta.k8s.io` in this version.
    Metadata(&'static str),
}

/// One media range of an `Accept` header.
#[derive(Debug, Clone, PartialEq)]
struct Range<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Range<'_> {
    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }
}

/// The media ranges, best first; those of the same quality in their order.
fn ranges(accept: &str) -> Vec<Range<'_>> {
    let mut ranges: Vec<Range<'_>> = accept
        .split(',')
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts.filter_map(|p| p.split_once('=')).collect();
            let quality =
                parameters.iter().find(|(n, _)| *n == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
            Range { media, parameters, quality }
        })
        .filter(|range| !range.media.is_empty() && range.quality > 0.0)
        .collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

fn not_acceptable(what: &str) -> Status {
    Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {what}"))
}

fn meta_version(range: &Range<'_>) -> Option<&'static str> {
    match (range.get("g"), range.get("v")) {
        ("meta.k8s.io", "v1") => Some("v1"),
        ("meta.k8s.io", "v1beta1") => Some("v1beta1"),
        _ => None,
    }
}

/// The view that the client likes best.
pub(crate) fn view(accept: &str) -> Result<View, Status> {
    if accept.trim().is_empty() {
        return Ok(View::Whole);
    }
    for range in ranges(accept) {
        if !is_json(range.media) {
            continue;
        }
        match (range.get("as"), meta_version(&range)) {
            ("", _) => return Ok(View::Whole),
            ("Table", Some(version)) => return Ok(View::Table(version)),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", Some(version)) => {
                return Ok(View::Metadata(version));
            }
            _ => {}
        }
    }
    Err(not_acceptable("application/json"))
}

/// The version of aggregated discovery that the client likes best; none for the plain lists.
pub(crate) fn discovery(accept: &str) -> Option<&'static str> {
    for range in ranges(accept).iter().filter(|range| is_json(range.media)) {
        match (range.get("as"), range.get("g"), range.get("v")) {
            ("", ..) => return None,
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => return Some("v2"),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => return Some("v2beta1"),
            _ => {}
        }
    }
    None
}

/// The media type of the OpenAPI document as protobuf. Go's MIME parser refuses the `@` of the older name, under which
/// kubectl asks for it, so the answer has this one.
pub(crate) const OPENAPI_PROTOBUF_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const OPENAPI_PROTOBUF: &[&str] =
    &["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", OPENAPI_PROTOBUF_TYPE];

/// Whether the client wants OpenAPI v2 as protobuf rather than JSON.
pub(crate) fn wants_openapi_protobuf(accept: &str) -> bool {
    ranges(accept)
        .iter()
        .find(|range| is_json(range.media) || OPENAPI_PROTOBUF.contains(&range.media))
        .is_some_and(|range| OPENAPI_PROTOBUF.contains(&range.media))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views() {
        for (accept, expected) in [
            ("", Some(View::Whole)),
            ("*/*", Some(View::Whole)),
            ("application/json", Some(View::Whole)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(View::Whole)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Some(View::Table("v1")),
            ),
            (
                "application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json",
                Some(View::Table("v1beta1")),
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                Some(View::Metadata("v1")),
            ),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", None),
            ("application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io", Some(View::Table("v1"))),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
        ] {
            assert_eq!(view(accept).ok(), expected, "{accept}");
        }
    }

    #[test]
    fn discovery_and_openapi() {
        let modern = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
            application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(modern), Some("v2"));
        assert_eq!(discovery("application/json, */*"), None);
        assert!(wants_openapi_protobuf("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"));
        assert!(!wants_openapi_protobuf("application/json"));
        assert!(!wants_openapi_protobuf(""));
    }
}
