use crate::{
    model::ModelRequest,
    store::{IdempotencyKey, Question},
};

/// The name of a call: the client's own, within its tenant and API key. `None` if the client gave none.
pub(super) fn name(request: &ModelRequest) -> Option<IdempotencyKey> {
    let name = request.ctx.idempotency.as_deref()?;
    let key = request.ctx.key.as_deref();
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(b"rungs call 1");
    field(request.ctx.tenant.as_bytes());
    field(&[u8::from(key.is_some())]);
    field(key.unwrap_or_default().as_bytes());
    field(name.as_bytes());
    Some(*hasher.finalize().as_bytes())
}

/// What is asked: the operation and every member of the body.
pub(super) fn question(request: &ModelRequest) -> Question {
    let mut hasher = blake3::Hasher::new();
    hasher.update(request.op.as_str().as_bytes());
    request.body.hash_except(&[], &mut hasher);
    *hasher.finalize().as_bytes()
}
