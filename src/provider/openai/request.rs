use bytes::Bytes;
use http::{Request, header::AUTHORIZATION};
use serde_json::value::RawValue;

use super::{Metering, OpenAi, OutputLimit};
use crate::{
    catalog::Deployment,
    error::Error,
    json::RawObject,
    model::{ModelRequest, Operation},
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
    if req.op == Operation::Chat && dialect.output_limit == OutputLimit::MaxTokens {
        rename_limit(&mut body)?;
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

fn rename_limit(body: &mut RawObject) -> Result<(), Error> {
    const NEW: &str = "max_completion_tokens";
    let Some(limit) = body.get_as::<u64>(NEW)? else {
        return Ok(());
    };
    body.remove(NEW);
    // A limit under the old name is what such servers go by anyway; zero is none.
    if body.get_as::<u64>("max_tokens")?.is_none_or(|old| old == 0) {
        body.set("max_tokens", &limit)?;
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
