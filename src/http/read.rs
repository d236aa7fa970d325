use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;

use crate::error::{Error, ErrorKind};

/// Reads a request body of at most `limit` bytes within `time`.
///
/// A body that announces more is refused before any of it is read.
///
/// # Errors
/// [`ErrorKind::TooLarge`] and [`ErrorKind::Slow`] for the limits, [`ErrorKind::Invalid`] when the client breaks off.
pub async fn read_body<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Error>
where
    B: Body,
{
    let too_large = || {
        Error::new(
            ErrorKind::TooLarge,
            format!("the body is larger than {limit} bytes"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut body = std::pin::pin!(body);
        let mut first: Option<Bytes> = None;
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Error::invalid("the body broke off"))?;
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            if first.as_ref().map_or(all.len(), Bytes::len) + data.remaining() > limit {
                return Err(too_large());
            }
            // Most bodies come in one piece, which then is not copied.
            match first.take() {
                None if all.is_empty() => first = Some(data.copy_to_bytes(data.remaining())),
                held => {
                    all.extend_from_slice(&held.unwrap_or_default());
                    all.extend_from_slice(&data.copy_to_bytes(data.remaining()));
                }
            }
        }
        Ok(first.unwrap_or_else(|| all.freeze()))
    };
    tokio::time::timeout(time, read).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Slow,
            format!("the body did not arrive within {} s", time.as_secs()),
        ))
    })
}
