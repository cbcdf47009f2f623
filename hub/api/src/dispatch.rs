//! One request from its bytes to its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use gannet_hub_core::ObjectKey;
use gannet_hub_objects::{Objects, Part, Status, Written};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::accept::{self, OPENAPI_PROTOBUF_TYPE};
use crate::auth::{self, User};
use crate::decode::Payload;
use crate::figures::{self, NodeFigures};
use crate::logs::{self, LogOptions, PodLogs};
use crate::query::Query;
use crate::read::{self, Wanted};
use crate::response::{self, Answer};
use crate::route::{Route, Served, Sub};
use crate::view::{Include, ListMeta, Presenter};
use crate::{alias, discovery, scale, watch, write};

/// Kubernetes' bound of a request body.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Kubernetes' bound of all requests but watches and followed logs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What requests are answered with.
pub(crate) struct Context {
    pub(crate) objects: Arc<Objects>,
    pub(crate) logs: Arc<dyn PodLogs>,
    pub(crate) figures: Arc<dyn NodeFigures>,
    pub(crate) ready: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(crate) version: String,
    pub(crate) stop: CancellationToken,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A request whose body has been read.
struct Call {
    method: Method,
    route: Route,
    query: Query,
    accept: String,
    content_type: String,
    body: Bytes,
}

impl Call {
    fn payload(&self) -> Payload<'_> {
        Payload { content_type: &self.content_type, body: &self.body }
    }
}

/// Answers a request. Every failure is an answer too.
pub(crate) async fn answer<B>(context: &Context, user: Option<&User>, request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let gzip = header(&parts, ACCEPT_ENCODING)
        .split(',')
        .any(|e| e.split(';').next().map(str::trim) == Some("gzip"));
    let work = async {
        let call = receive(user, &parts, body).await?;
        context.carry_out(&call).await
    };
    let result = match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => {
            Err(Status::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout"))
        }
    };
    let answer = result.unwrap_or_else(|status| response::failure(&status));
    tracing::debug!(
        http.method = %parts.method, http.path = parts.uri.path(), http.status = answer.status().as_u16(),
        user.name = user.map_or("", |u| u.name.as_str()), "answered"
    );
    response::compress(answer, gzip).await
}

fn header(parts: &Parts, name: HeaderName) -> String {
    let values = parts.headers.get_all(name);
    values.iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// Checks who asks for what, and only then reads the body.
async fn receive<B>(user: Option<&User>, parts: &Parts, body: B) -> Result<Call, Status>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = parts.uri.path();
    let route = Route::parse(path);
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    auth::authorize(user, &parts.method, &route, path, query.flag("watch"))?;
    let too_large = || {
        Status::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {MAX_BODY}"))
    };
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
        Err(error) => return Err(Status::bad_request(format!("the body of the request broke off: {error}"))),
    };
    let (accept, content_type) = (header(parts, ACCEPT), header(parts, CONTENT_TYPE));
    Ok(Call { method: parts.method.clone(), route, query, accept, content_type, body })
}

impl Context {
    async fn carry_out(&self, call: &Call) -> Result<Answer, Status> {
        let get = call.method == Method::GET;
        match &call.route {
            Route::Collection { served, namespace } => {
                self.collection(call, *served, namespace.as_deref()).await
            }
            Route::Object { served, namespace, name, sub } => {
                self.object(call, *served, &ObjectKey::new(namespace, name), *sub).await
            }
            Route::Unknown => Err(Status::unknown_path()),
            _ if !get => Err(not_allowed()),
            Route::Health(which) => Ok(self.health(which)),
            Route::Version => Ok(response::json(200, &discovery::version(&self.version))),
            Route::CoreVersions => Ok(discover(call, true)),
            Route::Groups => Ok(discover(call, false)),
            Route::Group(group) => Ok(response::json(200, &discovery::group(group))),
            Route::Resources(group) => Ok(response::json(200, &discovery::resource_list(group))),
            Route::OpenApiV2 | Route::OpenApiV3Index | Route::OpenApiV3(_) => openapi(call).await,
        }
    }

    fn health(&self, which: &str) -> Answer {
        if which == "livez" || (self.ready)() {
            return response::bytes(200, "text/plain; charset=utf-8", "ok");
        }
        response::bytes(503, "text/plain; charset=utf-8", "the store has no leader yet")
    }

    fn presenter(&self, call: &Call, served: Served) -> Result<Presenter, Status> {
        let include = Include::parse(call.query.get("includeObject"));
        Ok(Presenter { served, view: accept::view(&call.accept)?, include, now: self.objects.now() })
    }

    fn written(&self, call: &Call, served: Served, code: u16, written: Written) -> Result<Answer, Status> {
        let shown = self.presenter(call, served)?.object(written.object);
        let mut answer = response::json(code, &shown);
        let mut warnings: Vec<String> = served.warning().into_iter().collect();
        warnings.extend(written.warnings);
        response::warn(&mut answer, &warnings);
        Ok(answer)
    }

    async fn collection(
        &self,
        call: &Call,
        served: Served,
        namespace: Option<&str>,
    ) -> Result<Answer, Status> {
        match call.method.as_str() {
            "GET" if served.is_made() && !call.query.flag("watch") => {
                let presenter = self.presenter(call, served)?;
                let (list, items) =
                    figures::list(&self.objects, &*self.figures, served, namespace, &call.query).await?;
                Ok(response::json(200, &presenter.list(&list, items)))
            }
            _ if served.is_made() => Err(not_allowed()),
            "GET" => {
                let presenter = self.presenter(call, served)?;
                let wanted = Wanted::parse(served.kind, namespace, &call.query)?;
                if call.query.flag("watch") {
                    let body =
                        watch::watch(&self.objects, wanted, &call.query, presenter, self.stop.clone())?;
                    return Ok(response::stream("application/json", body));
                }
                let (list, items) = read::list(&self.objects, &wanted, &call.query)?;
                Ok(response::json(200, &presenter.list(&list, items)))
            }
            "POST" if namespace.is_some() || !served.kind.is_namespaced() => {
                let place = namespace.unwrap_or_default();
                let written =
                    write::create(&self.objects, served, place, call.payload(), &call.query).await?;
                self.written(call, served, 201, written)
            }
            "DELETE" if namespace.is_some() || !served.kind.is_namespaced() => {
                let presenter = self.presenter(call, served)?;
                let options = write::delete_options(call.payload(), &call.query)?;
                let wanted = Wanted::parse(served.kind, namespace, &call.query)?;
                let deleted = write::delete_all(&self.objects, &wanted, &call.query, &options).await?;
                let list = ListMeta { revision: self.objects.storage().revision(), ..ListMeta::default() };
                Ok(response::json(200, &presenter.list(&list, deleted)))
            }
            _ => Err(not_allowed()),
        }
    }

    async fn object(
        &self,
        call: &Call,
        served: Served,
        key: &ObjectKey,
        sub: Option<Sub>,
    ) -> Result<Answer, Status> {
        let (objects, payload, query) = (&self.objects, call.payload(), &call.query);
        let part = match sub {
            Some(Sub::Status) => Part::Status,
            Some(Sub::Resize) => Part::Resize,
            _ => Part::Main,
        };
        match (sub, call.method.as_str()) {
            (_, "GET") if served.is_made() && !query.flag("watch") => {
                let presenter = self.presenter(call, served)?;
                let object = figures::get(objects, &*self.figures, served, key).await?;
                Ok(response::json(200, &presenter.object(object)))
            }
            _ if served.is_made() => Err(not_allowed()),
            (None | Some(Sub::Status | Sub::Resize), "GET") => {
                if query.flag("watch") {
                    return Err(not_allowed());
                }
                let object = alias::as_written(objects, served, objects.get(served.kind, key)?);
                self.written(call, served, 200, Written { object, warnings: Vec::new() })
            }
            (None | Some(Sub::Status | Sub::Resize), "PUT") => {
                let written = write::replace(objects, served, key, part, payload, query).await?;
                self.written(call, served, 200, written)
            }
            (None | Some(Sub::Status | Sub::Resize), "PATCH") => {
                let written = write::patch(objects, served, key, part, payload, query).await?;
                self.written(call, served, 200, written)
            }
            (Some(Sub::Finalize), "PUT") => {
                let written = write::replace(objects, served, key, Part::Whole, payload, query).await?;
                self.written(call, served, 200, written)
            }
            (None, "DELETE") => {
                let options = write::delete_options(payload, query)?;
                match write::delete(objects, served.kind, key, &options).await? {
                    Ok(object) => Ok(response::json(200, &self.presenter(call, served)?.object(object))),
                    Err(status) => Ok(response::json(200, &status)),
                }
            }
            (Some(Sub::Scale), "GET") => Ok(response::json(200, &scale::get(objects, served, key)?)),
            (Some(Sub::Scale), "PUT") => {
                Ok(response::json(200, &scale::replace(objects, served, key, payload, query).await?))
            }
            (Some(Sub::Scale), "PATCH") => {
                Ok(response::json(200, &scale::patch(objects, served, key, payload, query).await?))
            }
            (Some(Sub::Log), "GET") => self.log(call, &objects.get(served.kind, key)?).await,
            _ => Err(not_allowed()),
        }
    }

    async fn log(&self, call: &Call, object: &Value) -> Result<Answer, Status> {
        let options = LogOptions::parse(&call.query, self.objects.now())?;
        let container = logs::container(object, call.query.get("container"))?;
        let pod: Pod = serde_json::from_value(object.clone()).map_err(Status::internal)?;
        // As in Kubernetes: a pod that is on no node yet has an empty log.
        if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_none_or(str::is_empty) {
            return Ok(response::bytes(200, "text/plain", ""));
        }
        logs::check_state(object, &container, options.previous)?;
        let body = self.logs.logs(&pod, &container, options).await?;
        let stop = self.stop.clone();
        let body = body.take_until(async move { stop.cancelled().await }).boxed();
        Ok(response::stream("text/plain", body))
    }
}

fn not_allowed() -> Status {
    Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
}

fn discover(call: &Call, core: bool) -> Answer {
    if let Some(version) = accept::discovery(&call.accept) {
        // Clients compare the type as a whole.
        let kind = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        return response::bytes(200, &kind, discovery::aggregated(version, core).to_string());
    }
    response::json(200, &if core { discovery::core_versions() } else { discovery::group_list() })
}

/// The documents are made when they are first asked for, which takes a while: not on a thread that serves others.
async fn openapi(call: &Call) -> Result<Answer, Status> {
    let (route, protobuf) = (call.route.clone(), accept::wants_openapi_protobuf(&call.accept));
    let made = tokio::task::spawn_blocking(move || match route {
        Route::OpenApiV2 if protobuf => {
            Some((OPENAPI_PROTOBUF_TYPE, gannet_hub_schema::openapi_v2_protobuf()))
        }
        Route::OpenApiV2 => Some(("application/json", gannet_hub_schema::openapi_v2_json())),
        Route::OpenApiV3Index => Some(("application/json", gannet_hub_schema::openapi_v3_index())),
        Route::OpenApiV3(path) => {
            gannet_hub_schema::openapi_v3(&path).map(|document| ("application/json", document))
        }
        _ => None,
    });
    let (kind, document) = made.await.map_err(Status::internal)?.ok_or_else(Status::unknown_path)?;
    Ok(response::bytes(200, kind, Bytes::from_static(document)))
}

#[cfg(test)]
#[path = "dispatch_test.rs"]
mod tests;
