use crate::{
    catalog::Deployment,
    error::Error,
    model::{ModelRequest, output_limit},
};

/// The fewest bytes of a prompt that a token stands for, on the average.
const BYTES_PER_TOKEN: u64 = 2;

/// `request` with as much of the gateway's own output limit as `deployment` can give. Where prompt and limit may not fit its window
/// together, which some servers refuse, there is no limit: then the provider gives what the window leaves.
///
/// # Errors
/// When the limit is no number.
pub(super) fn fitted(
    mut request: ModelRequest,
    deployment: &Deployment,
) -> Result<ModelRequest, Error> {
    let limit = match request.own_limit {
        true => output_limit(&request.body)?,
        false => None,
    };
    let Some(limit) = limit else {
        return Ok(request);
    };
    let possible = limit.min(deployment.max_output.unwrap_or(limit));
    let prompt = request.body.as_bytes().len() as u64 / BYTES_PER_TOKEN;
    let window = deployment.context_window;
    if window.is_some_and(|window| prompt.saturating_add(possible) > window) {
        request.body.remove("max_completion_tokens");
    } else if possible < limit {
        request.body.set("max_completion_tokens", &possible)?;
    }
    Ok(request)
}
