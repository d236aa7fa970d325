//! Places where a test stops a process, or fails it.

use crate::error::Error;

/// A place of this name: nothing, unless the feature `failpoints` is on and the place is set to something. Set to `return(stop)`, the
/// process says so and goes no further.
#[cfg(feature = "failpoints")]
pub(in crate::store) fn fail_point(name: &str) -> Result<(), Error> {
    fail::fail_point!(name, |what| match what.as_deref() {
        Some("stop") => stop(name),
        _ => Err(Error::new(
            crate::error::ErrorKind::Unavailable,
            format!("failed at {name}"),
        )),
    });
    Ok(())
}

#[cfg(feature = "failpoints")]
fn stop(name: &str) -> ! {
    eprintln!("stopped at {name}");
    loop {
        std::thread::park();
    }
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "it may fail where it is on")]
pub(in crate::store) fn fail_point(_: &str) -> Result<(), Error> {
    Ok(())
}
