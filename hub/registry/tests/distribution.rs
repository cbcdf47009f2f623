//! The distribution API as its clients use it: our own, raw requests, and skopeo.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use axum::Router;
use gannet_hub_registry::{Registry, RegistryOptions};
use gannet_images::{ImageStore, PackConfig, PackFile, Packed, Platform, RegistryConfig, Source, pack, push};
use gannet_protocols_model::{Digest, ImageReference, PullPolicy};
use http::{Method, StatusCode};
use reqwest::Response;

struct Served {
    registry: Registry,
    host: String,
    dir: tempfile::TempDir,
    _server: tokio::task::JoinSet<()>,
}

async fn serve(options: RegistryOptions) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open_with(&dir.path().join("registry"), options).unwrap();
    let router: Router = registry.router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Served { registry, host, dir, _server: server }
}

impl Served {
    fn config(&self) -> RegistryConfig {
        RegistryConfig {
            platform: Platform::linux("amd64", None),
            ..RegistryConfig::new(vec![self.registry_config()])
        }
    }

    fn registry_config(&self) -> gannet_images::Registry {
        gannet_images::Registry::http(&self.host)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.host) };
        let mut request = client().request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn start(&self, name: &str) -> String {
        let started = self.call(Method::POST, &format!("/v2/{name}/blobs/uploads/"), &[], "").await;
        assert_eq!(started.status(), StatusCode::ACCEPTED);
        started.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn put_blob(&self, name: &str, bytes: &'static str) -> Digest {
        let digest = Digest::of(bytes.as_bytes());
        let put =
            self.call(Method::POST, &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).await;
        assert_eq!(put.status(), StatusCode::CREATED);
        digest
    }
}

fn client() -> reqwest::Client {
    // Plain HTTP, but a client is built with TLS in any case.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

fn packed(body: &str) -> Packed {
    let file = PackFile { path: "/hello".into(), bytes: body.into(), mode: 0o755 };
    let config = PackConfig { entrypoint: vec!["/hello".into()], ..PackConfig::default() };
    pack(vec![file], &config, &Platform::linux("amd64", None)).unwrap()
}

fn reference(text: &str) -> ImageReference {
    text.parse().unwrap()
}

async fn code(response: Response) -> String {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    format!("{status} {}", body["errors"][0]["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_pushes_and_pulls() {
    let served = serve(RegistryOptions::default()).await;
    let image = packed("hello");
    let name = reference("team/app:v1");
    let digest = push(&image, &name, &served.registry_config()).await.unwrap();
    assert_eq!(served.registry.resolve(&name), Some(digest));
    assert_eq!(served.registry.resolve(&reference("team/app:v2")), None);
    assert_eq!(served.registry.resolve(&reference(&format!("team/app@{digest}"))), Some(digest));

    let store = ImageStore::open(&served.dir.path().join("images")).unwrap();
    let config = served.config();
    let pull = |name: ImageReference, policy| {
        let (store, config) = (store.clone(), config.clone());
        async move { store.pull(&name, policy, &config, &|_| ()).await }
    };
    let pulled = pull(name.clone(), PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(pulled.source, Source::Registry { host: served.host.clone() });
    assert_eq!(
        (pulled.image.digest, pulled.image.config.entrypoint.clone()),
        (digest, vec!["/hello".to_owned()])
    );
    assert_eq!(std::fs::read_to_string(pulled.image.layer_dirs[0].join("hello")).unwrap(), "hello");
    assert_eq!(pull(name.clone(), PullPolicy::IfNotPresent).await.unwrap().source, Source::Present);
    // A tag that moved is seen only where the registry is asked.
    let moved = push(&packed("new"), &name, &served.registry_config()).await.unwrap();
    assert_eq!(pull(name.clone(), PullPolicy::IfNotPresent).await.unwrap().image.digest, digest);
    assert_eq!(pull(name.clone(), PullPolicy::Always).await.unwrap().image.digest, moved);
    // What is pinned stays what it was.
    assert_eq!(pull(name.pinned(digest), PullPolicy::Always).await.unwrap().image.digest, digest);

    let missing = pull(reference("team/none"), PullPolicy::Always).await.unwrap_err();
    let expect =
        format!("failed to pull image \"team/none\": {}/team/none:latest: manifest unknown", served.host);
    assert_eq!(missing.message(), expect);
    let never = pull(reference("none"), PullPolicy::Never).await.unwrap_err();
    assert_eq!(
        (never.reason(), never.message().as_str()),
        ("ErrImageNeverPull", "container image \"none\" is not present with pull policy of Never")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_pieces() {
    let served = serve(RegistryOptions { max_blob_bytes: 100 }).await;
    let digest = Digest::of(b"hello world");
    let location = served.start("a/b").await;
    let first = served.call(Method::PATCH, &location, &[("content-range", "0-4")], "hello").await;
    assert_eq!((first.status(), first.headers()["range"].to_str().unwrap()), (StatusCode::ACCEPTED, "0-4"));
    let wrong = served.call(Method::PATCH, &location, &[("content-range", "9-10")], "xx").await;
    assert_eq!(
        (wrong.status(), wrong.headers()["range"].to_str().unwrap()),
        (StatusCode::RANGE_NOT_SATISFIABLE, "0-4")
    );
    let status = served.call(Method::GET, &location, &[], "").await;
    assert_eq!(
        (status.status(), status.headers()["range"].to_str().unwrap()),
        (StatusCode::NO_CONTENT, "0-4")
    );
    let elsewhere = location.replace("/a/b/", "/other/");
    assert_eq!(code(served.call(Method::PATCH, &elsewhere, &[], "x").await).await, "404 BLOB_UPLOAD_UNKNOWN");
    let put = served.call(Method::PUT, &format!("{location}?digest={digest}"), &[], " world").await;
    assert_eq!(
        (put.status(), put.headers()["location"].to_str().unwrap()),
        (StatusCode::CREATED, format!("/v2/a/b/blobs/{digest}").as_str())
    );
    assert_eq!(code(served.call(Method::GET, &location, &[], "").await).await, "404 BLOB_UPLOAD_UNKNOWN");

    let blob = format!("/v2/a/b/blobs/{digest}");
    let part = served.call(Method::GET, &blob, &[("range", "bytes=6-")], "").await;
    assert_eq!(
        (part.status(), part.headers()["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, "bytes 6-10/11")
    );
    assert_eq!(part.bytes().await.unwrap().as_ref(), b"world");
    assert_eq!(
        code(served.call(Method::GET, &blob, &[("range", "bytes=11-")], "").await).await,
        "416 RANGE_INVALID"
    );
    let head = served.call(Method::HEAD, &blob, &[], "").await;
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "11"));
    let mount =
        served.call(Method::POST, &format!("/v2/c/blobs/uploads/?mount={digest}&from=a/b"), &[], "").await;
    assert_eq!(mount.status(), StatusCode::CREATED);
    let none = Digest::of(b"none");
    let mount =
        served.call(Method::POST, &format!("/v2/c/blobs/uploads/?mount={none}&from=a/b"), &[], "").await;
    assert_eq!(mount.status(), StatusCode::ACCEPTED);

    for (body, digest, expect) in [
        ("other".to_owned(), digest.to_string(), "400 DIGEST_INVALID"),
        ("x".repeat(101), digest.to_string(), "413 SIZE_INVALID"),
        ("x".to_owned(), "md5:1".to_owned(), "400 DIGEST_INVALID"),
    ] {
        let location = served.start("a").await;
        assert_eq!(
            code(served.call(Method::PUT, &format!("{location}?digest={digest}"), &[], body).await).await,
            expect
        );
    }
    let location = served.start("a").await;
    assert_eq!(served.call(Method::DELETE, &location, &[], "").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        code(served.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "").await).await,
        "404 BLOB_UPLOAD_UNKNOWN"
    );
    let blobs = std::fs::read_dir(served.dir.path().join("registry/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 1, "only what was acknowledged is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_and_tags() {
    let served = serve(RegistryOptions::default()).await;
    let ping = served.call(Method::GET, "/v2/", &[], "").await;
    assert_eq!(
        (ping.status(), ping.headers()["docker-distribution-api-version"].to_str().unwrap()),
        (StatusCode::OK, "registry/2.0")
    );
    assert_eq!(code(served.call(Method::GET, "/v2/a/tags/list", &[], "").await).await, "404 NAME_UNKNOWN");
    let config = served.put_blob("a", "{}").await;
    let layer = served.put_blob("a", "layer").await;
    let manifest = |layer: &Digest| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"c","digest":"{config}","size":2}},"layers":[{{"mediaType":"l","digest":"{layer}","size":5}}]}}"#,
            gannet_images::media::MANIFEST
        )
    };
    let good = manifest(&layer);
    let digest = Digest::of(good.as_bytes());
    let huge = " ".repeat(gannet_images::MAX_MANIFEST_BYTES + 1);
    let none = Digest::of(b"none");
    let index =
        format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{none}","size":1}}]}}"#);
    for (version, content_type, body, expect) in [
        ("v1", gannet_images::media::MANIFEST, good.clone(), "201 "),
        ("v1", "application/json", good.clone(), "201 "),
        (&digest.to_string(), gannet_images::media::MANIFEST, good.clone(), "201 "),
        (&none.to_string(), gannet_images::media::MANIFEST, good.clone(), "400 DIGEST_INVALID"),
        ("v1", gannet_images::media::INDEX, good.clone(), "400 MANIFEST_INVALID"),
        ("v1", gannet_images::media::DOCKER_MANIFEST, good.clone(), "400 MANIFEST_INVALID"),
        ("v1", gannet_images::media::MANIFEST, manifest(&none), "404 MANIFEST_BLOB_UNKNOWN"),
        ("v1", gannet_images::media::INDEX, index, "404 MANIFEST_BLOB_UNKNOWN"),
        ("v1", gannet_images::media::MANIFEST, "garbage".into(), "400 MANIFEST_INVALID"),
        ("v1", gannet_images::media::MANIFEST, huge, "413 SIZE_INVALID"),
        ("-v", gannet_images::media::MANIFEST, good.clone(), "400 TAG_INVALID"),
    ] {
        let put = served
            .call(Method::PUT, &format!("/v2/a/manifests/{version}"), &[("content-type", content_type)], body)
            .await;
        assert_eq!(code(put).await, expect, "{version} {content_type}");
    }
    let get = served.call(Method::GET, "/v2/a/manifests/v1", &[], "").await;
    assert_eq!(get.headers()["content-type"], gannet_images::media::MANIFEST);
    assert_eq!(get.headers()["docker-content-digest"].to_str().unwrap(), digest.to_string());
    assert_eq!(get.text().await.unwrap(), good);
    assert_eq!(
        code(served.call(Method::GET, &format!("/v2/b/manifests/{digest}"), &[], "").await).await,
        "404 MANIFEST_UNKNOWN"
    );

    for tag in ["v3", "v2"] {
        let headers = [("content-type", gannet_images::media::MANIFEST)];
        served.call(Method::PUT, &format!("/v2/a/manifests/{tag}"), &headers, good.clone()).await;
    }
    let page = served.call(Method::GET, "/v2/a/tags/list?n=2", &[], "").await;
    assert_eq!(page.headers()["link"], "</v2/a/tags/list?n=2&last=v2>; rel=\"next\"");
    assert_eq!(page.text().await.unwrap(), r#"{"name":"a","tags":["v1","v2"]}"#);
    let rest = served.call(Method::GET, "/v2/a/tags/list?n=2&last=v2", &[], "").await;
    assert_eq!(rest.text().await.unwrap(), r#"{"name":"a","tags":["v3"]}"#);
    assert_eq!(
        served.call(Method::GET, "/v2/_catalog", &[], "").await.text().await.unwrap(),
        r#"{"repositories":["a"]}"#
    );

    assert_eq!(
        served.call(Method::DELETE, "/v2/a/manifests/v3", &[], "").await.status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(
        code(served.call(Method::DELETE, "/v2/a/manifests/v3", &[], "").await).await,
        "404 MANIFEST_UNKNOWN"
    );
    assert_eq!(
        served.call(Method::DELETE, &format!("/v2/a/manifests/{digest}"), &[], "").await.status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(
        served.call(Method::GET, "/v2/a/tags/list", &[], "").await.text().await.unwrap(),
        r#"{"name":"a","tags":[]}"#
    );
    assert_eq!(served.registry.resolve(&reference("a:v1")), None);
}

/// An OCI layout of an index with two platforms.
fn layout(dir: &Path) -> Vec<Packed> {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| std::fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    let mut entries = Vec::new();
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let file = PackFile { path: "arch".into(), bytes: architecture.into(), mode: 0o644 };
        let image = pack(vec![file], &PackConfig::default(), &Platform::linux(architecture, None)).unwrap();
        for bytes in [&image.manifest, &image.config, &image.layer] {
            put(bytes);
        }
        entries.push(format!(
            r#"{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
            gannet_images::media::MANIFEST, image.digest(), image.manifest.len()
        ));
        images.push(image);
    }
    let media_type = gannet_images::media::INDEX;
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{}]}}"#, entries.join(","));
    put(index.as_bytes());
    let top = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
        Digest::of(index.as_bytes()),
        index.len()
    );
    std::fs::write(dir.join("index.json"), top).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    images
}

async fn skopeo(args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let run = move || Command::new("skopeo").args(["--insecure-policy"]).args(args).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_there_and_back() {
    let served = serve(RegistryOptions::default()).await;
    let source = served.dir.path().join("source");
    let images = layout(&source);
    let (oci, there) =
        (format!("oci:{}:v1", source.display()), format!("docker://{}/team/app:v1", served.host));
    skopeo(&["copy", "--all", "--dest-tls-verify=false", &oci, &there]).await;
    // The same once more, and into another repository: skopeo mounts.
    skopeo(&["copy", "--all", "--dest-tls-verify=false", &oci, &there]).await;
    let elsewhere = format!("docker://{}/other:v1", served.host);
    skopeo(&["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &there, &elsewhere]).await;
    let inspected = skopeo(&["inspect", "--tls-verify=false", &there]).await;
    assert!(inspected.contains("\"v1\""), "{inspected}");
    let back = served.dir.path().join("back");
    skopeo(&["copy", "--all", "--src-tls-verify=false", &elsewhere, &format!("oci:{}:v1", back.display())])
        .await;
    for image in &images {
        for bytes in [&image.manifest, &image.config, &image.layer] {
            assert_eq!(
                &std::fs::read(back.join("blobs/sha256").join(Digest::of(bytes).hex())).unwrap(),
                bytes
            );
        }
    }
    // Docker's formats too, and a zstd layer.
    let docker = format!("docker://{}/docker:v1", served.host);
    let first = format!("oci:{}:v1", source.display());
    skopeo(&[
        "copy",
        "--format",
        "v2s2",
        "--override-arch",
        "arm64",
        "--dest-tls-verify=false",
        &first,
        &docker,
    ])
    .await;
    let zstd = format!("docker://{}/zstd:v1", served.host);
    skopeo(&[
        "copy",
        "--dest-compress-format",
        "zstd",
        "--override-arch",
        "arm64",
        "--dest-tls-verify=false",
        &first,
        &zstd,
    ])
    .await;
    let store = ImageStore::open(&served.dir.path().join("images")).unwrap();
    for (name, architecture, expect) in [
        ("team/app:v1", "amd64", "amd64"),
        ("other:v1", "arm64", "arm64"),
        ("docker:v1", "arm64", "arm64"),
        ("zstd:v1", "arm64", "arm64"),
    ] {
        let config = RegistryConfig { platform: Platform::linux(architecture, None), ..served.config() };
        let pulled = store.pull(&reference(name), PullPolicy::Always, &config, &|_| ()).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(pulled.image.layer_dirs[0].join("arch")).unwrap(),
            expect,
            "{name}"
        );
    }
    let config = RegistryConfig { platform: Platform::linux("riscv64", None), ..served.config() };
    let error =
        store.pull(&reference("team/app:v1"), PullPolicy::Always, &config, &|_| ()).await.unwrap_err();
    assert!(
        error.message().contains("no image for linux/riscv64 among linux/amd64, linux/arm64"),
        "{}",
        error.message()
    );
    skopeo(&["delete", "--tls-verify=false", &there]).await;
    assert_eq!(served.registry.resolve(&reference("team/app:v1")), None);
}
