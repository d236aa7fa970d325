use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use serde_json::value::RawValue;

use super::{Metering, OpenAi, OutputLimit};
use crate::{
    catalog::Deployment,
    error::Error,
    json::RawObject,
    model::{ModelRequest, Operation, effective_limit, output_limits},
    provider::Endpoint,
};

/// Writes the request: the client's bytes, with what the provider wants otherwise spliced in.
pub(super) fn write(
    dialect: &OpenAi,
    req: &ModelRequest,
    d: &Deployment,
    endpoint: &Endpoint,
) -> Result<Request<Bytes>, Error> {
    let mut body = req.body.clone();
    let named = body.get("model").and_then(unquoted);
    if named != Some(&*d.upstream) {
        body.set("model", &*d.upstream)?;
    }
    let path = match req.op {
        Operation::Chat => "/chat/completions",
        Operation::Embeddings => "/embeddings",
    };
    if req.op == Operation::Chat {
        set_limit(&mut body, d.cap(req.body.as_bytes().len()))?;
        if dialect.output_limit == OutputLimit::MaxTokens {
            rename_limit(&mut body)?;
        }
    }
    let mut accept = "application/json";
    if req.wants_stream() {
        accept = "text/event-stream";
        if dialect.metering == Metering::Ask {
            ask_for_usage(&mut body)?;
        }
    }
    let mut request = endpoint.post(path, accept, body.into_bytes())?;
    if let Some(key) = endpoint.get_key() {
        request.headers_mut().insert(AUTHORIZATION, key.bearer());
    }
    Ok(request)
}

/// What a JSON string says, if it says it without escapes.
fn unquoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

const NEW: &str = "max_completion_tokens";
const OLD: &str = "max_tokens";

/// Limits an answer that has no limit, so that whoever reserved for so much of it has reserved enough.
fn set_limit(body: &mut RawObject, cap: Option<u64>) -> Result<(), Error> {
    let Some(cap) = cap else { return Ok(()) };
    let limits = output_limits(body)?;
    if effective_limit(limits).is_some() {
        return Ok(());
    }
    // One that is zero undoes the other at some servers; here it does not, but the cap is what was reserved for.
    let asked = limits.into_iter().flatten().filter(|limit| *limit > 0);
    let limit = asked.min().map_or(cap, |asked| asked.min(cap));
    body.remove(OLD);
    body.set(NEW, &limit)
}

fn rename_limit(body: &mut RawObject) -> Result<(), Error> {
    let Some(limit) = body.get_as::<u64>(NEW)? else {
        return Ok(());
    };
    body.remove(NEW);
    // A limit under the old name is what such servers go by anyway; zero is none.
    if body.get_as::<u64>(OLD)?.is_none_or(|old| old == 0) {
        body.set(OLD, &limit)?;
    }
    Ok(())
}

fn ask_for_usage(body: &mut RawObject) -> Result<(), Error> {
    let mut options = match body.get("stream_options") {
        None | Some("null") => RawObject::default(),
        Some(options) => {
            let options = Bytes::copy_from_slice(options.as_bytes());
            RawObject::parse(options).map_err(|_| {
                Error::invalid("`stream_options` must be an object").param("stream_options")
            })?
        }
    };
    if options.get("include_usage") == Some("true") {
        return Ok(());
    }
    options.set("include_usage", &true)?;
    let options: &RawValue = serde_json::from_slice(options.as_bytes())
        .map_err(|e| Error::internal("an edited object is no JSON").with_source(e))?;
    body.set_raw("stream_options", options);
    Ok(())
}
