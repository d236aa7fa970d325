use crate::{
    model::ModelRequest,
    store::{FieldHash, IdempotencyKey, Question},
};

/// The name of a call: the client's own, within its tenant and API key. `None` if the client gave none.
pub(super) fn name(request: &ModelRequest) -> Option<IdempotencyKey> {
    let name = request.ctx.idempotency.as_deref()?;
    let key = request.ctx.key.as_deref();
    let mut hash = FieldHash::lasting("rungs call 2");
    hash.field(&*request.ctx.tenant);
    hash.field([u8::from(key.is_some())]);
    hash.field(key.unwrap_or_default());
    hash.field(name);
    Some(hash.finish())
}

/// What is asked: the operation, how much it matters, the conversation, and every member of the body.
pub(super) fn question(request: &ModelRequest) -> Question {
    let mut hash = FieldHash::lasting("rungs question 3");
    hash.field(request.op.as_str());
    hash.quality(request.ctx.quality);
    let conversation = request.ctx.conversation.as_deref();
    hash.field([u8::from(conversation.is_some())]);
    hash.field(conversation.unwrap_or_default());
    hash.pairs(request.body.sorted_except(&[]));
    hash.finish()
}
