//! Pulls from registries: Debian's, one that lies, one behind mutual TLS, and none at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use gannet_images::{
    ClientIdentity, Credentials, ImageStore, PackConfig, PackFile, Packed, Platform, Progress, Registry,
    RegistryConfig, Scheme, Source, media, pack, push,
};
use gannet_protocols_model::{Digest, ImageReference, PullPolicy};

use fake::{Answer, Fake};

fn packed(body: &str) -> Packed {
    // Incompressible enough that a layer can break off in the middle.
    let noise: String = (0..2000).map(|n| Digest::of(format!("{body}{n}").as_bytes()).hex()).collect();
    let files = [("hello", body.to_owned()), ("noise", noise)];
    let files =
        files.map(|(path, bytes)| PackFile { path: path.into(), bytes: bytes.into_bytes(), mode: 0o644 });
    pack(files.to_vec(), &PackConfig::default(), &Platform::linux("amd64", None)).unwrap()
}

fn config(search: Vec<Registry>) -> RegistryConfig {
    RegistryConfig { platform: Platform::linux("amd64", None), ..RegistryConfig::new(search) }
}

fn reference(text: &str) -> ImageReference {
    text.parse().unwrap()
}

struct Room {
    dir: tempfile::TempDir,
    store: ImageStore,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    async fn pull(&self, name: &str, registries: Vec<Registry>) -> Result<String, String> {
        let pulled =
            self.store.pull(&reference(name), PullPolicy::Always, &config(registries), &|_| ()).await;
        let pulled = pulled.map_err(|error| error.message())?;
        Ok(std::fs::read_to_string(pulled.image.layer_dirs[0].join("hello")).unwrap())
    }

    /// Nothing half done: no layer, nothing under `tmp/`.
    fn check_clean(&self) {
        for folder in ["layers", "tmp"] {
            let left: Vec<_> =
                std::fs::read_dir(self.dir.path().join("images").join(folder)).unwrap().collect();
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
    }
}

struct Debian {
    child: Child,
    host: String,
    _dir: tempfile::TempDir,
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's docker-registry, which asks for user and password.
fn debian_registry() -> Debian {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    // User `gannet`, password `secret`.
    std::fs::write(at("users"), "gannet:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
        .unwrap();
    let text = format!(
        "version: 0.1\nlog: {{formatter: json}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\nauth: {{htpasswd: {{realm: r, path: {}}}}}\n",
        at("data"),
        at("users")
    );
    std::fs::write(at("config.yml"), text).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let mut command = Command::new("docker-registry");
    let child = command.args(["serve", &at("config.yml")]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let host = loop {
        let log = std::fs::read_to_string(at("log")).unwrap();
        let address = log.split("listening on ").nth(1).and_then(|rest| rest.split_once('"'));
        if let Some((host, _)) = address {
            break host.to_owned();
        }
        assert!(Instant::now() < deadline, "docker-registry does not listen: {log}");
        std::thread::sleep(Duration::from_millis(20));
    };
    Debian { child, host, _dir: dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_debians_docker_registry() {
    let debian = tokio::task::spawn_blocking(debian_registry).await.unwrap();
    let credentials = Credentials { username: "gannet".into(), password: "secret".into() };
    let registry = Registry { credentials: Some(credentials), ..Registry::http(&debian.host) };
    let image = packed("debian");
    let digest = push(&image, &reference("team/app:v1"), &registry).await.unwrap();
    push(&image, &reference("team/app:v2"), &registry).await.unwrap();
    let room = Room::new();
    for name in
        ["team/app:v1", "team/app:v2", &format!("{}/team/app:v1", debian.host), &format!("team/app@{digest}")]
    {
        assert_eq!(room.pull(name, vec![registry.clone()]).await.as_deref(), Ok("debian"), "{name}");
    }
    let missing = room.pull("team/app:v3", vec![registry.clone()]).await.unwrap_err();
    assert!(missing.contains("manifest unknown"), "{missing}");
    let wrong = Credentials { username: "gannet".into(), password: "wrong".into() };
    for credentials in [None, Some(wrong)] {
        let denied =
            room.pull("team/app:v1", vec![Registry { credentials, ..registry.clone() }]).await.unwrap_err();
        assert!(denied.contains("access denied"), "{denied}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_break_off_are_continued() {
    let image = packed("resumed");
    let fake = Fake::start(&[("app", &image)], |request| {
        // Each try gets 20 KB more and then the connection ends.
        let layer = request.blob.as_ref()?;
        (layer.len() > 60_000).then(|| Answer::BreaksOffAfter(20_000))
    })
    .await;
    let room = Room::new();
    let error = room.pull("app", vec![fake.registry()]).await.unwrap_err();
    assert!(error.contains("blob sha256:"), "{error}");
    room.check_clean();
    let ranges = fake.ranges();
    assert_eq!(ranges.len(), 3, "three tries: {ranges:?}");
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1..].iter().all(|range| range.as_ref().is_some_and(|r| r.starts_with("bytes="))),
        "{ranges:?}"
    );
    // After a restart of the agent it goes on where it was.
    let Room { dir, store } = room;
    drop(store);
    let room = Room { store: ImageStore::open(&dir.path().join("images")).unwrap(), dir };
    let mut pulled = room.pull("app", vec![fake.registry()]).await;
    if pulled.is_err() {
        pulled = room.pull("app", vec![fake.registry()]).await;
    }
    assert_eq!(pulled.as_deref(), Ok("resumed"));
    assert!(fake.ranges().iter().skip(3).all(Option::is_some));
    assert!(fake.sent() < image.layer.len() as u64 + 5 * 64_000, "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_lie() {
    let image = packed("good");
    let other = packed("other");
    let layer = Digest::of(&image.layer);
    let check = async |name: &str, lie: fn(&fake::Request) -> Option<Answer>, expect: &str| {
        let fake = Fake::start(&[("app", &image), ("other", &packed("other"))], lie).await;
        let room = Room::new();
        let got = room.pull(name, vec![fake.registry()]).await.unwrap_or_else(|error| error);
        assert!(got.contains(expect), "{got} does not say {expect}");
        if expect != "good" {
            room.check_clean();
        }
    };
    let pinned = format!("app@{}", image.digest());
    check("app", |_| None, "good").await;
    check(&pinned, |_| None, "good").await;
    check(
        &pinned,
        |r| r.manifest.then(|| Answer::Body(packed("other").manifest)),
        "manifest came with other content",
    )
    .await;
    check(
        "app",
        |r| r.big_blob().then(|| Answer::Body(vec![7; packed("good").layer.len()])),
        "came with other content",
    )
    .await;
    check("app", |r| r.big_blob().then(|| Answer::Body(vec![7; 1 << 20])), "more than the").await;
    check(
        "app",
        |r| r.big_blob().then(|| Answer::Status(StatusCode::NOT_FOUND, HeaderMap::new())),
        "not found",
    )
    .await;
    check("app", |r| r.manifest.then(|| Answer::Body(vec![b' '; 5 << 20])), "more than 4194304 bytes").await;
    check("app", |r| r.manifest.then(|| Answer::Body(b"<html>".to_vec())), "does not parse").await;
    check(
        "app",
        |r| r.manifest.then(|| Answer::Redirect("/v2/app/manifests/latest".into())),
        "too many redirects",
    )
    .await;
    check(
        "app",
        |r| r.manifest.then(|| Answer::Status(StatusCode::IM_A_TEAPOT, HeaderMap::new())),
        "registry answered 418",
    )
    .await;
    // Redirected to its storage, as most registries do.
    check("app", |r| r.redirectable().then(|| Answer::Redirect(format!("{}?stored", r.path))), "good").await;
    // Overloaded once.
    let overloaded = |r: &fake::Request| {
        (r.number == 0).then(|| Answer::Status(StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new()))
    };
    check("app", overloaded, "good").await;
    let broken = |_: &fake::Request| Some(Answer::Status(StatusCode::BAD_GATEWAY, HeaderMap::new()));
    check("app", broken, "registry answered 502").await;
    // The configuration of one image with the layer of another.
    let mixed = fake::manifest(&other.config, &image.layer);
    let fake = Fake::start(
        &[("app", &Packed { manifest: mixed, config: other.config.clone(), layer: image.layer.clone() })],
        |_| None,
    )
    .await;
    let room = Room::new();
    let got = room.pull("app", vec![fake.registry()]).await.unwrap_err();
    assert!(got.contains(&format!("cannot unpack layer {layer}: uncompressed layer has digest")), "{got}");
    room.check_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_followed_but_not_for_ever() {
    let image = packed("deep");
    let fake = Fake::start(&[("app", &image)], |_| None).await;
    let mut inner = image.manifest.clone();
    for depth in 1..=5 {
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"x","digest":"{}","size":1,"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
            media::INDEX,
            Digest::of(&inner)
        );
        fake.add_manifest(&inner);
        inner = index.into_bytes();
        fake.add_manifest(&inner);
        let got = Room::new().pull(&format!("app@{}", Digest::of(&inner)), vec![fake.registry()]).await;
        match got {
            Ok(hello) => assert!(hello == "deep" && depth <= 3, "{depth}"),
            Err(error) => assert!(depth > 3 && error.contains("more than 3 deep"), "{depth}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_fetched_where_they_are_asked_for() {
    let fake = Fake::start(&[("team/app", &packed("token"))], |request| {
        if request.path == "/token" {
            let asked = request.query.as_str();
            assert_eq!(asked, "scope=repository%3Ateam%2Fapp%3Apull&service=here");
            return Some(Answer::Body(br#"{"token":"t0ken"}"#.to_vec()));
        }
        if request.headers.get("authorization").is_some_and(|h| h == "Bearer t0ken") {
            return None;
        }
        let host = request.headers["host"].to_str().unwrap();
        let mut headers = HeaderMap::new();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"here\"");
        headers.insert("www-authenticate", challenge.parse().unwrap());
        Some(Answer::Status(StatusCode::UNAUTHORIZED, headers))
    })
    .await;
    assert_eq!(Room::new().pull("team/app", vec![fake.registry()]).await.as_deref(), Ok("token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_list_in_order() {
    let first = Fake::start(&[("both", &packed("first"))], |_| None).await;
    let second = Fake::start(&[("both", &packed("second")), ("second", &packed("second"))], |_| None).await;
    let room = Room::new();
    let search = vec![first.registry(), second.registry()];
    assert_eq!(room.pull("both", search.clone()).await.as_deref(), Ok("first"));
    assert_eq!(room.pull("second", search.clone()).await.as_deref(), Ok("second"));
    let none = room.pull("none", search).await.unwrap_err();
    let expect = format!(
        "failed to pull image \"none\": {}/none:latest: manifest unknown; {}/none:latest: manifest unknown",
        first.host, second.host
    );
    assert_eq!(none, expect);
    // A registry that does not answer ends the search: the next might have somebody else's image of that name.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let search = vec![Registry::http(&gone), second.registry()];
    let refused = room.pull("other", search.clone()).await.unwrap_err();
    assert_eq!(refused, format!("failed to pull image \"other\": {gone}/other:latest: connection refused"));
    // Unless the image is here.
    let present =
        room.store.pull(&reference("both"), PullPolicy::Always, &config(search), &|_| ()).await.unwrap();
    assert!(
        matches!(present.source, Source::PresentUnchecked { ref reason } if reason.contains("refused")),
        "{:?}",
        present.source
    );
    let error =
        room.store.pull(&reference("none"), PullPolicy::Always, &config(vec![]), &|_| ()).await.unwrap_err();
    assert!(error.message().contains("no registry is configured"), "{}", error.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_fetch_a_layer_once() {
    let image = packed("once");
    let fake = Fake::start(&[("app", &image)], |_| None).await;
    let room = Room::new();
    let mut pulls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, config) = (room.store.clone(), config(vec![fake.registry()]));
        pulls.spawn(async move {
            let seen = std::sync::Mutex::new(Vec::new());
            let progress = |step: Progress| seen.lock().unwrap().push(step);
            let image = store
                .pull(&reference("app"), PullPolicy::IfNotPresent, &config, &progress)
                .await
                .unwrap()
                .image;
            (image.digest, seen.into_inner().unwrap())
        });
    }
    let done = pulls.join_all().await;
    assert!(done.iter().all(|(digest, _)| *digest == image.digest()));
    assert!(
        done.iter()
            .flat_map(|(_, seen)| seen)
            .any(|step| matches!(step, Progress::Layer { done, total, .. } if done == total))
    );
    assert_eq!(fake.ranges().len(), 1, "the layer was fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls() {
    let image = packed("tls");
    let fake = Fake::start(&[("app", &image)], |_| None).await;
    let authority = fake::Authority::new();
    let host = fake.serve_tls(&authority).await;
    let (cert_pem, key_pem) = authority.issue("node-1");
    let identity = Some(ClientIdentity { cert_pem, key_pem });
    let registry = Registry { ca_pem: Some(authority.pem()), identity, ..Registry::https(&host) };
    assert_eq!(registry.scheme, Scheme::Https);
    let room = Room::new();
    assert_eq!(room.pull("app", vec![registry.clone()]).await.as_deref(), Ok("tls"));
    let stranger = fake::Authority::new();
    for (wrong, expect) in [
        // The refusal comes after the handshake, so what is seen first differs.
        (Registry { identity: None, ..registry.clone() }, "failed to pull"),
        (Registry { ca_pem: Some(stranger.pem()), ..registry.clone() }, "certificate"),
        (Registry { ca_pem: None, ..registry }, "certificate"),
    ] {
        let error = Room::new().pull("app", vec![wrong]).await.unwrap_err();
        assert!(error.to_lowercase().contains(expect), "{error} does not say {expect}");
    }
}

/// What is damaged is found where it is used, or where somebody asks, and the next pull brings it again.
#[tokio::test]
async fn damage_is_found_and_mended() {
    let fake = Fake::start(&[("app", &packed("one"))], |_| None).await;
    let room = Room::new();
    let here = vec![fake.registry()];
    room.pull("app", here.clone()).await.unwrap();
    let dir = room.dir.path().join("images");
    let name = reference("app");
    let files = |folder: &str| -> Vec<std::path::PathBuf> {
        let list = std::fs::read_dir(dir.join(folder)).unwrap().flatten().map(|e| e.path());
        list.filter(|path| !path.to_string_lossy().contains(".bad-")).collect()
    };
    // Manifest and configuration, each with a byte flipped.
    for blob in files("blobs/sha256") {
        let mut bytes = std::fs::read(&blob).unwrap();
        bytes[10] ^= 1;
        std::fs::write(&blob, bytes).unwrap();
        assert_eq!(room.store.get(&name), None, "{}", blob.display());
        assert_eq!(room.pull("app", here.clone()).await.unwrap(), "one");
    }
    let image = room.store.get(&name).unwrap();
    assert_eq!(room.store.verify(&image).unwrap(), Vec::new());
    let noise = image.layer_dirs[0].join("noise");
    let mut bytes = std::fs::read(&noise).unwrap();
    bytes[4242] ^= 1;
    std::fs::write(&noise, bytes).unwrap();
    assert_eq!(room.store.verify(&image).unwrap(), image.layers);
    assert_eq!(room.store.get(&name), None);
    assert_eq!(room.pull("app", here).await.unwrap(), "one");
    let image = room.store.get(&name).unwrap();
    assert_eq!(room.store.verify(&image).unwrap(), Vec::new());
    // What was set aside stays for what runs from it, and goes after a boot.
    let aside = std::fs::read_dir(dir.join("layers")).unwrap().flatten().map(|e| e.path());
    let aside = aside.filter(|p| p.to_string_lossy().contains(".bad-")).collect::<Vec<_>>();
    assert_eq!(aside.len(), 1);
    std::fs::rename(&aside[0], dir.join("layers/00.bad-0-another-boot")).unwrap();
    let Room { dir: kept, store } = room;
    drop(store);
    drop(ImageStore::open(&kept.path().join("images")).unwrap());
    assert_eq!(std::fs::read_dir(kept.path().join("images/layers")).unwrap().count(), 1);
}
