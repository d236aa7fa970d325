//! What a request may ask for where a budget answers for it.
//!
//! Its bound counts tokens. A member can also buy a search, let an aggregator ask a dearer model, or ask for more answers under a
//! name of its own; so only what is known to ask for nothing else is let through. Where nothing is paid for tokens, only what
//! lets a provider ask somebody else is held back.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::media;
use crate::{catalog::Deployment, error::Error, json::RawObject};

/// See [`TokenBound::covers`](super::TokenBound::covers).
pub(super) fn only_tokens(body: &RawObject, deployment: &Deployment) -> Result<(), Error> {
    // Where there is no price nothing is held; whether it may be asked all the same is not decided here.
    let is_free = deployment.price.is_none_or(|price| price.is_free());
    for (name, json) in body.iter() {
        let fits = match name {
            _ if json == "null" => true,
            _ if deployment.free_members.iter().any(|free| **free == *name) => true,
            name if is_free => !chooses(name),
            "messages" | "input" if media(body).others > 0 => false,
            "tools" => are_functions(json),
            "modalities" => is_text(json),
            name => is_known(name),
        };
        if !fits {
            return Err(refused(name, deployment));
        }
    }
    Ok(())
}

fn refused(name: &str, deployment: &Deployment) -> Error {
    let name = name.chars().take(64).collect::<String>();
    let what = match &*name {
        "messages" | "input" => "what is spoken or filmed in",
        _ => "the member",
    };
    Error::invalid(format!(
        "a budget cannot answer for {what} `{name}`: at `{}` it may cost more than tokens of text. Leave it out, or have \
         `{name}` listed in the provider's `free_members`",
        deployment.model
    ))
    .param(name)
    .elsewhere()
}

/// What lets an aggregator ask another model, or another host, than it is told to.
const CHOOSING: [&str; 6] = [
    "models",
    "fallbacks",
    "route",
    "preset",
    "provider",
    "plugins",
];

/// Whether a member does that, also at a server that reads names in any case.
fn chooses(name: &str) -> bool {
    !name.is_ascii() || CHOOSING.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// The first member that lets a provider ask another model than it is told to.
pub(super) fn choosing(body: &RawObject) -> Option<&str> {
    let mut said = body.iter().filter(|(_, json)| *json != "null");
    said.find_map(|(name, _)| chooses(name).then_some(name))
}

/// What asks for nothing but tokens within the bound. From the references of OpenAI, Azure, OpenRouter, Groq, Mistral, DeepSeek,
/// xAI, Fireworks and Together, and of the servers vLLM, llama.cpp, SGLang and Ollama, as of November 2026.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        // OpenAI's: what is asked, and how it is to be answered.
        "model"
            | "messages"
            | "input"
            | "stream"
            | "stream_options"
            | "max_tokens"
            | "max_completion_tokens"
            | "n"
            | "temperature"
            | "top_p"
            | "tool_choice"
            | "parallel_tool_calls"
            | "functions"
            | "function_call"
            | "response_format"
            | "stop"
            | "seed"
            | "presence_penalty"
            | "frequency_penalty"
            | "logit_bias"
            | "logprobs"
            | "top_logprobs"
            | "prediction"
            | "reasoning_effort"
            | "verbosity"
            | "service_tier"
            // About the caller, and what is kept.
            | "user"
            | "safety_identifier"
            | "metadata"
            | "store"
            | "prompt_cache_key"
            | "prompt_cache_retention"
            // Thinking, which is output.
            | "reasoning"
            | "include_reasoning"
            | "reasoning_format"
            | "thinking"
            | "enable_thinking"
            | "thinking_budget"
            | "clear_thinking"
            | "disable_reasoning"
            | "separate_reasoning"
            | "stream_reasoning"
            | "chat_template_kwargs"
            | "add_generation_prompt"
            | "continue_final_message"
            | "add_special_tokens"
            // Sampling.
            | "top_k"
            | "top_a"
            | "min_p"
            | "typical_p"
            | "top_n_sigma"
            | "tfs_z"
            | "do_sample"
            | "repetition_penalty"
            | "repeat_penalty"
            | "repeat_last_n"
            | "length_penalty"
            | "random_seed"
            | "min_tokens"
            | "stop_token_ids"
            | "include_stop_str_in_output"
            | "ignore_eos"
            | "skip_special_tokens"
            | "spaces_between_special_tokens"
            | "bad_words"
            | "allowed_token_ids"
            | "mirostat"
            | "mirostat_tau"
            | "mirostat_eta"
            | "mirostat_target"
            | "mirostat_lr"
            | "dry_multiplier"
            | "dry_base"
            | "dry_allowed_length"
            | "dry_penalty_last_n"
            | "dry_sequence_breakers"
            | "xtc_probability"
            | "xtc_threshold"
            | "samplers"
            // The form of the answer.
            | "grammar"
            | "json_schema"
            | "guided_json"
            | "guided_regex"
            | "guided_choice"
            | "guided_grammar"
            | "guided_decoding_backend"
            | "structured_outputs"
            | "disable_tool_validation"
            | "tool_stream"
            | "citation_options"
            | "regex"
            | "ebnf"
            | "echo"
            | "return_token_ids"
            | "return_tokens_as_token_ids"
            | "prompt_logprobs"
            // What becomes of a prompt that is too long.
            | "transforms"
            | "truncate"
            | "truncation"
            | "truncate_prompt_tokens"
            | "prompt_truncate_len"
            | "context_length_exceeded_behavior"
            // Serving.
            | "usage"
            | "cache_prompt"
            | "cache_salt"
            | "keep_alive"
            | "priority"
            | "request_id"
            | "timings_per_token"
            | "perf_metrics_in_response"
            | "id_slot"
            | "n_probs"
            | "session_id"
            | "trace"
            | "user_security_context"
            // Embeddings.
            | "dimensions"
            | "encoding_format"
            | "input_type"
            | "output_dimension"
            | "output_dtype"
            | "task"
            | "normalized"
    )
}

/// Whether all tools are the caller's own: others are run, and paid for, at the provider.
fn are_functions(tools: &str) -> bool {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        function: Option<IgnoredAny>,
    }
    let tools: Result<Vec<Tool<'_>>, _> = serde_json::from_str(tools);
    tools.is_ok_and(|tools| {
        tools.iter().all(|tool| match tool.kind.as_deref() {
            Some(kind) => matches!(kind, "function" | "custom"),
            None => tool.function.is_some(),
        })
    })
}

/// Whether nothing but text is to come: what is spoken or drawn has other prices.
fn is_text(modalities: &str) -> bool {
    let modalities: Result<Vec<Cow<'_, str>>, _> = serde_json::from_str(modalities);
    modalities.is_ok_and(|modalities| modalities.iter().all(|modality| modality == "text"))
}
