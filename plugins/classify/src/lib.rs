//! Temporary.
use ringmill_sdk::prelude::*;
options! {
    /// None.
    pub struct Options {}
}
/// X.
#[derive(Debug)]
pub struct Classify;
impl Stage for Classify {
    const NAME: &'static str = "classify";
    const SUMMARY: &'static str = "x";
    type Config = Options;
    fn new(_: Options, _: &Host) -> Result<Self> { Ok(Self) }
    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        for p in batch.live() {
            if p.protocol() != 6 { continue }
            let b = p.payload();
            let m = [&b"GET "[..], b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"HEAD ", b"OPTIONS ", b"CONNECT ", b"TRACE "];
            if b.starts_with(b"HTTP/1.") { p.set_class(Class::HTTP_RESPONSE) }
            else if m.iter().any(|m| b.starts_with(m)) { p.set_class(Class::HTTP_REQUEST) }
        }
        Ok(())
    }
}
