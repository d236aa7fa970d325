//! Walks over JSON without building it: checks the grammar, tells where values stand, and nothing else.
//!
//! A gateway skips most of what it reads, so the speed of skipping is what counts: strings, which are most of a prompt and of an
//! answer, are passed in wide steps, and the kinds of the open brackets fit one machine word.

/// How many characters of a string are looked at one by one, before [`WIDE`] of them are looked at together.
const SHORT: usize = 24;
const WIDE: usize = 32;

/// The deepest nesting that is accepted, all brackets counted; no real request comes close.
pub(super) const MAX_DEPTH: u32 = 64;

/// Why a text is not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not JSON, or not of the kind that was expected.
    Grammar,
    /// It nests deeper than [`MAX_DEPTH`].
    Depth,
}

/// Reads one JSON object: `see` is told each member's name, as it is written between its quotes, and reads the value.
///
/// # Errors
/// If `text` is not one JSON object, or what `see` makes of a member.
pub(crate) fn members<'a>(
    text: &'a str,
    see: impl FnMut(&'a str, &mut Scan<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    whole(text, |scan| scan.members(see))
}

/// Reads one JSON array; `see` reads its elements.
///
/// # Errors
/// If `text` is not one JSON array, or what `see` makes of an element.
pub(crate) fn elements<'a>(
    text: &'a str,
    see: impl FnMut(&mut Scan<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    whole(text, |scan| scan.elements(see))
}

fn whole<'a>(
    text: &'a str,
    read: impl FnOnce(&mut Scan<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut scan = Scan {
        text,
        at: 0,
        around: 0,
    };
    read(&mut scan)?;
    match scan.peek() {
        None => Ok(()),
        Some(_) => Err(Fault::Grammar),
    }
}

/// A place in a text, where a value is to be read.
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// How many brackets are open around that value.
    around: u32,
}

impl<'a> Scan<'a> {
    /// Reads an object; `see` reads its values.
    pub(crate) fn members(
        &mut self,
        mut see: impl FnMut(&'a str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'{')?;
        self.around += 1;
        let mut more = !self.closes(b'}');
        while more {
            let name = self.name()?;
            see(name, self)?;
            more = self.goes_on(b'}')?;
        }
        self.around -= 1;
        Ok(())
    }

    /// Reads an array; `see` reads its elements.
    pub(crate) fn elements(
        &mut self,
        mut see: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'[')?;
        self.around += 1;
        let mut more = !self.closes(b']');
        while more {
            see(self)?;
            more = self.goes_on(b']')?;
        }
        self.around -= 1;
        Ok(())
    }

    /// Whether an array stands here.
    pub(crate) fn is_array(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    /// Whether an object stands here.
    pub(crate) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Whether `null` stands here.
    pub(crate) fn is_null(&mut self) -> bool {
        self.peek() == Some(b'n')
    }

    /// Reads whatever stands here.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// The same; `None` for `null`.
    pub(crate) fn present(&mut self) -> Result<Option<&'a str>, Fault> {
        self.value()
            .map(|value| Some(value).filter(|v| *v != "null"))
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(Fault::Grammar)
    }

    /// Whether the bracket closes here.
    fn closes(&mut self, bracket: u8) -> bool {
        self.expect(bracket).is_ok()
    }

    /// Whether a comma follows, and not the bracket.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, Fault> {
        if self.closes(bracket) {
            return Ok(false);
        }
        self.expect(b',').map(|()| true)
    }

    /// A member's name and its colon.
    fn name(&mut self) -> Result<&'a str, Fault> {
        self.expect(b'"')?;
        let start = self.at;
        self.string()?;
        let name = &self.text[start..self.at - 1];
        self.expect(b':')?;
        Ok(name)
    }

    /// Passes one value, with all that is in it.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut open = Open::default();
        loop {
            let byte = self.peek().ok_or(Fault::Grammar)?;
            self.at += 1;
            match byte {
                b'"' => self.string()?,
                b'{' => {
                    open.push(true, self.around)?;
                    if !self.closes(b'}') {
                        self.name()?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    open.push(false, self.around)?;
                    if !self.closes(b']') {
                        continue;
                    }
                    open.pop();
                }
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                b'-' => self.number()?,
                b'0'..=b'9' => {
                    self.at -= 1;
                    self.number()?;
                }
                _ => return Err(Fault::Grammar),
            }
            // A value has ended: with it may end what it stands in.
            loop {
                let Some(object) = open.innermost() else {
                    return Ok(());
                };
                if self.goes_on(if object { b'}' } else { b']' })? {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// Passes the rest of a string whose quote has been read, and its closing quote.
    fn string(&mut self) -> Result<(), Fault> {
        loop {
            match self.plain() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                _ => return Err(Fault::Grammar),
            }
        }
    }

    /// Passes characters that stand for themselves, and the byte behind them, which does not.
    fn plain(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let special = |byte: &u8| SPECIAL[usize::from(*byte)];
        // Names and other short strings end here.
        let mut at = rest.iter().take(SHORT).take_while(|b| !special(b)).count();
        if at == SHORT {
            // Written without an early end, so that the compiler compares many bytes at once.
            while let Some(chunk) = rest[at..].first_chunk::<WIDE>()
                && !chunk
                    .iter()
                    .fold(false, |any, byte| any | is_special(*byte))
            {
                at += WIDE;
            }
            at += rest[at..].iter().position(special)?;
        }
        self.at += at + 1;
        rest.get(at).copied()
    }

    /// Passes an escape whose backslash has been read.
    fn escape(&mut self) -> Result<(), Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()) => 5,
            _ => return Err(Fault::Grammar),
        };
        self.at += length;
        Ok(())
    }

    fn literal(&mut self, rest: &[u8]) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(rest) {
            return Err(Fault::Grammar);
        }
        self.at += rest.len();
        Ok(())
    }

    /// Passes a number whose sign has been read.
    fn number(&mut self) -> Result<(), Fault> {
        let leading = self.byte();
        let digits = self.digits();
        if digits == 0 || (digits > 1 && leading == Some(b'0')) {
            return Err(Fault::Grammar);
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Fault::Grammar);
            }
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Fault::Grammar);
            }
        }
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn digits(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += digits;
        digits
    }
}

/// Whether a byte of a string ends it, escapes the next, or must not stand there.
const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = is_special(byte as u8);
        byte += 1;
    }
    special
};

/// The brackets that are open within a value: a bit each, set for an object, the innermost lowest.
#[derive(Default)]
struct Open {
    kinds: u64,
    depth: u32,
}

impl Open {
    fn push(&mut self, object: bool, around: u32) -> Result<(), Fault> {
        if self.depth + around >= MAX_DEPTH {
            return Err(Fault::Depth);
        }
        self.kinds = self.kinds << 1 | u64::from(object);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    /// Whether the innermost is an object; `None` if none is open.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.kinds & 1 == 1)
    }
}
