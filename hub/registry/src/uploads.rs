//! Uploads under way: streamed to disk and hashed piece by piece.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use futures::StreamExt as _;
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use gannet_protocols_model::Digest;

use crate::api_error::ApiError;

/// An upload that nobody touches for this long is forgotten.
const IDLE: Duration = Duration::from_secs(3600);
/// Uploads at a time. Each holds a file descriptor; a push of docker or skopeo has at most six.
const MAX_UPLOADS: usize = 256;

/// One upload.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    file: File,
    hash: sha2::Sha256,
    size: u64,
}

/// An upload's place: one request at a time works on it.
type Shared = Arc<tokio::sync::Mutex<Upload>>;

#[derive(Debug)]
struct Session {
    repository: String,
    touched: Instant,
    upload: Shared,
}

/// All uploads under way.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    sessions: Mutex<BTreeMap<String, Session>>,
}

impl Uploads {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        // Each change is one call of the map.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an upload; `path` tells where one of an id lies.
    pub(crate) async fn start(
        &self,
        repository: &str,
        path: impl Fn(&str) -> PathBuf,
    ) -> Result<String, ApiError> {
        self.forget_idle();
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::from)?;
        let id = hex::encode(random);
        let path = path(&id);
        let file = File::create_new(&path).await?;
        let upload = Upload { path, file, hash: sha2::Sha256::new(), size: 0 };
        let session = Session {
            repository: repository.into(),
            touched: Instant::now(),
            upload: Arc::new(upload.into()),
        };
        let mut sessions = self.sessions();
        if sessions.len() >= MAX_UPLOADS {
            drop(sessions);
            return Err(ApiError::too_many("too many uploads at a time"));
        }
        sessions.insert(id.clone(), session);
        drop(sessions);
        Ok(id)
    }

    /// An upload of a repository.
    pub(crate) fn get(&self, repository: &str, id: &str) -> Result<Shared, ApiError> {
        let mut sessions = self.sessions();
        let session = sessions
            .get_mut(id)
            .filter(|s| s.repository == repository)
            .ok_or_else(ApiError::upload_unknown)?;
        session.touched = Instant::now();
        Ok(Arc::clone(&session.upload))
    }

    /// Ends an upload: nobody finds it any more.
    pub(crate) fn take(&self, repository: &str, id: &str) -> Result<Shared, ApiError> {
        let upload = self.get(repository, id)?;
        self.sessions().remove(id);
        Ok(upload)
    }

    fn forget_idle(&self) {
        let mut sessions = self.sessions();
        // One that is held by a request is at work, however long its body takes.
        sessions
            .retain(|_, session| session.touched.elapsed() < IDLE || Arc::strong_count(&session.upload) > 1);
    }
}

impl Upload {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a body. Where it breaks off, what came counts: the client asks how far the upload is and goes on.
    pub(crate) async fn append(&mut self, body: Body, limit: u64) -> Result<(), ApiError> {
        let mut stream = body.into_data_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.file.flush().await?;
                    return Err(ApiError::upload_invalid(format!("the body broke off: {error}")));
                }
            };
            let size = self.size + chunk.len() as u64;
            if size > limit {
                return Err(ApiError::size_invalid(format!("blob has more than {limit} bytes")));
            }
            self.file.write_all(&chunk).await?;
            self.hash.update(&chunk);
            self.size = size;
        }
        Ok(self.file.flush().await?)
    }

    /// Brings everything to disk and checks it; the file is then the blob.
    pub(crate) async fn seal(&mut self, digest: &Digest) -> Result<PathBuf, ApiError> {
        let found = Digest::from_sha256(self.hash.clone().finalize().into());
        if found != *digest {
            let message = format!("provided digest did not match uploaded content, which has {found}");
            return Err(ApiError::digest_invalid(message));
        }
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(self.path.clone())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Of an upload that became a blob nothing is left here; what fails to go now goes at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}
