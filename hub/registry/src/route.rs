//! What a request is about: pure. Repository names hold slashes, so paths are read from their end.

use http::Method;

use gannet_protocols_model::{Digest, ImageReference};

use crate::api_error::ApiError;

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    Tag(String),
    Digest(Digest),
}

/// One endpoint of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Ping,
    Catalog,
    Tags { name: String },
    GetManifest { name: String, version: Version },
    PutManifest { name: String, version: Version },
    DeleteManifest { name: String, version: Version },
    GetBlob { digest: Digest },
    StartUpload { name: String },
    UploadStatus { name: String, id: String },
    Append { name: String, id: String },
    Finish { name: String, id: String },
    Cancel { name: String, id: String },
}

impl Route {
    /// Reads a request's path (percent-decoded) and method.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, ApiError> {
        let rest = path.strip_prefix("/v2").ok_or_else(ApiError::not_found)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let read = *method == Method::GET || *method == Method::HEAD;
        match rest {
            "" if read => return Ok(Self::Ping),
            "_catalog" if read => return Ok(Self::Catalog),
            "" | "_catalog" => return Err(ApiError::unsupported("only GET is supported here")),
            _ => {}
        }
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        let name = |end: usize| repository(&parts[..parts.len() - end].join("/"));
        match (&parts[..], method.as_str()) {
            ([.., _, "tags", "list"], "GET" | "HEAD") => Ok(Self::Tags { name: name(2)? }),
            ([.., _, "manifests", version], verb) => {
                let (name, version) = (name(2)?, parse_version(version)?);
                match verb {
                    "GET" | "HEAD" => Ok(Self::GetManifest { name, version }),
                    "PUT" => Ok(Self::PutManifest { name, version }),
                    "DELETE" => Ok(Self::DeleteManifest { name, version }),
                    _ => Err(ApiError::unsupported("manifests take GET, HEAD, PUT and DELETE")),
                }
            }
            ([.., _, "blobs", "uploads"], "POST") => Ok(Self::StartUpload { name: name(2)? }),
            ([.., _, "blobs", "uploads", id], verb) => {
                let (name, id) = (name(3)?, (*id).to_owned());
                match verb {
                    "GET" => Ok(Self::UploadStatus { name, id }),
                    "PATCH" => Ok(Self::Append { name, id }),
                    "PUT" => Ok(Self::Finish { name, id }),
                    "DELETE" => Ok(Self::Cancel { name, id }),
                    _ => Err(ApiError::unsupported("uploads take GET, PATCH, PUT and DELETE")),
                }
            }
            ([.., _, "blobs", digest], verb) => {
                name(2)?;
                let digest = digest.parse().map_err(|e| ApiError::digest_invalid(format!("{e}")))?;
                match verb {
                    "GET" | "HEAD" => Ok(Self::GetBlob { digest }),
                    // A blob may be part of images of other repositories.
                    _ => Err(ApiError::unsupported("blobs take GET and HEAD; delete the manifest instead")),
                }
            }
            _ => Err(ApiError::not_found()),
        }
    }
}

/// A repository's name, by the rules of image references.
pub(crate) fn repository(name: &str) -> Result<String, ApiError> {
    // With a host in front, so that a first part with a dot in it is not taken for one.
    let reference: Result<ImageReference, _> = format!("registry.invalid/{name}").parse();
    match reference {
        Ok(reference) if reference.path() == name && name.len() <= 255 => Ok(name.to_owned()),
        _ => Err(ApiError::name_invalid(name)),
    }
}

fn parse_version(text: &str) -> Result<Version, ApiError> {
    if text.contains(':') {
        return text.parse().map(Version::Digest).map_err(|e| ApiError::digest_invalid(format!("{e}")));
    }
    let reference: Result<ImageReference, _> = format!("x:{text}").parse();
    match reference {
        Ok(reference) if reference.path() == "x" && reference.tag() == Some(text) => {
            Ok(Version::Tag(text.to_owned()))
        }
        _ => Err(ApiError::tag_invalid(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expect: &str) {
        let got = match Route::parse(&method.parse().unwrap(), path) {
            Ok(route) => format!("{route:?}"),
            Err(error) => format!("{error:?}"),
        };
        assert!(got.contains(expect), "{method} {path}: {got} does not say {expect}");
    }

    #[test]
    fn routes() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check("GET", "/v2/", "Ping");
        check("GET", "/v2", "Ping");
        check("POST", "/v2/", "UNSUPPORTED");
        check("GET", "/v2/_catalog", "Catalog");
        check("GET", "/v2/a/tags/list", r#"Tags { name: "a" }"#);
        check("GET", "/v2/a/b/manifests/v1", r#"GetManifest { name: "a/b", version: Tag("v1") }"#);
        check("HEAD", &format!("/v2/a/manifests/{digest}"), "GetManifest");
        check("PUT", "/v2/a.b/c/manifests/v1", r#"PutManifest { name: "a.b/c""#);
        check("DELETE", "/v2/a/manifests/v1", "DeleteManifest");
        check("POST", "/v2/a/manifests/v1", "UNSUPPORTED");
        check("GET", &format!("/v2/manifests/blobs/{digest}"), "GetBlob");
        check("DELETE", &format!("/v2/a/blobs/{digest}"), "UNSUPPORTED");
        check("POST", "/v2/a/blobs/uploads/", r#"StartUpload { name: "a" }"#);
        check("POST", "/v2/a/blobs/uploads", "StartUpload");
        check("PATCH", "/v2/a/blobs/uploads/1f", r#"Append { name: "a", id: "1f" }"#);
        check("PUT", "/v2/a/blobs/uploads/1f", "Finish");
        check("GET", "/v2/a/blobs/uploads/1f", "UploadStatus");
        check("DELETE", "/v2/a/blobs/uploads/1f", "Cancel");
        check("GET", "/v2/A/manifests/v1", "NAME_INVALID");
        check("GET", "/v2/../manifests/v1", "NAME_INVALID");
        check("GET", "/v2/a/_tags/manifests/v1", "NAME_INVALID");
        check("GET", "/v2/a:1/manifests/v1", "NAME_INVALID");
        check("GET", &format!("/v2/{}/manifests/v1", "a".repeat(300)), "NAME_INVALID");
        check("GET", "/v2/a/manifests/-v", "TAG_INVALID");
        check("GET", "/v2/a/manifests/..", "TAG_INVALID");
        check("GET", "/v2/a/manifests/sha256:12", "DIGEST_INVALID");
        check("GET", "/v2/a/blobs/sha256:12", "DIGEST_INVALID");
        check("GET", "/v2/a", "no such endpoint");
        check("GET", "/v2/manifests/v1", "no such endpoint");
        check("GET", "/v3/", "no such endpoint");
    }
}
