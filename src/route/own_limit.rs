use crate::{
    catalog::Deployment,
    error::Error,
    model::{ModelRequest, output_limit},
};

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
    let possible = limit.min(deployment.longest_answer().unwrap_or(limit));
    if !deployment.fits(request.body.as_bytes().len(), possible) {
        request.body.remove("max_completion_tokens");
    } else if possible < limit {
        request.body.set("max_completion_tokens", &possible)?;
    }
    Ok(request)
}
