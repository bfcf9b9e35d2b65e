//! What a source is shown to let us in, read from a file so that no command line and no log holds it.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The longest file that is read, in bytes.
const MOST: u64 = 16 * 1024;

/// How a source wants to be shown who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer …` (RFC 6750); the file holds the token.
    Bearer,
    /// `Authorization: Basic …` (RFC 7617); the file holds `user:password`.
    Basic,
    /// `Authorization: Api-Token …`, Dynatrace's own; the file holds the token.
    ApiToken,
}

impl Scheme {
    const fn what(self) -> &'static str {
        match self {
            Self::Basic => "user and password",
            Self::Bearer | Self::ApiToken => "token",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Basic => "write user:password as the only line",
            Self::Bearer | Self::ApiToken => "write the token as the only line",
        }
    }
}

/// The value of an `Authorization` header; it is never shown.
#[derive(Clone)]
pub struct Credential(HeaderValue);

/// Why a file holds no credential.
#[derive(Debug, thiserror::Error)]
#[error("{file} holds no {what}: {why}\n  hint: {hint}")]
pub struct NoCredential {
    file: String,
    what: &'static str,
    why: String,
    hint: &'static str,
}

impl Credential {
    /// Reads a file; blanks and line ends around what it holds are left out.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, is longer than 16 KiB, or holds anything but one line of visible ASCII.
    pub fn read(path: &Path, scheme: Scheme) -> Result<Self, NoCredential> {
        let file = path.display().to_string();
        let hint = "name a file that exists and that this user may read";
        let open = |error: std::io::Error| NoCredential { file: file.clone(), what: scheme.what(), why: error.to_string(), hint };
        let mut text = Vec::new();
        std::fs::File::open(path).map_err(open)?.take(MOST + 1).read_to_end(&mut text).map_err(open)?;
        Self::new(&file, &text, scheme)
    }

    /// Takes what a file of this name holds, as [`Credential::read`] does.
    ///
    /// # Errors
    ///
    /// Fails when it is longer than 16 KiB or anything but one line of visible ASCII.
    pub fn new(file: &str, text: &[u8], scheme: Scheme) -> Result<Self, NoCredential> {
        let (what, hint) = (scheme.what(), scheme.hint());
        let refuse = |why: String, hint| NoCredential { file: file.to_owned(), what, why, hint };
        if text.len() as u64 > MOST {
            return Err(refuse(format!("it is longer than {MOST} bytes"), hint));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(refuse("it is empty".to_owned(), hint));
        }
        let visible =
            |scheme: Scheme| move |byte: &u8| byte.is_ascii_graphic() || (scheme == Scheme::Basic && *byte >= b' ' && *byte != 0x7f);
        let bare = std::str::from_utf8(text).ok().filter(|text| text.as_bytes().iter().all(visible(scheme)));
        let bare = bare.ok_or_else(|| refuse("it is not one line of visible characters".to_owned(), hint))?;
        let value = match scheme {
            Scheme::Bearer => format!("Bearer {bare}"),
            Scheme::ApiToken => format!("Api-Token {bare}"),
            Scheme::Basic if !bare.contains(':') => return Err(refuse("there is no colon in it".to_owned(), hint)),
            Scheme::Basic => format!("Basic {}", STANDARD.encode(bare)),
        };
        let mut value = HeaderValue::try_from(value).map_err(|error| refuse(error.to_string(), hint))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>, scheme: Scheme) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let read = Credential::read(file.path(), scheme).map_err(|error| error.to_string())?;
        assert_eq!(format!("{read:?} {:?}", read.header()), "Credential(…) Sensitive");
        Ok(read.header().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_file_gives_the_header_of_its_scheme() {
        assert_eq!(read("abc\n", Scheme::Bearer).unwrap(), "Bearer abc");
        assert_eq!(read(" dt0c01.X.Y\r\n", Scheme::ApiToken).unwrap(), "Api-Token dt0c01.X.Y");
        assert_eq!(read("Aladdin:open sesame\n", Scheme::Basic).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_file_without_a_credential_is_refused_and_not_shown() {
        for (text, scheme, why) in [
            ("", Scheme::Bearer, "empty"),
            (" \n ", Scheme::Basic, "empty"),
            ("a\nb", Scheme::Bearer, "one line"),
            ("geheim b", Scheme::ApiToken, "one line"),
            ("geheim", Scheme::Basic, "colon"),
            ("gehéim", Scheme::Bearer, "visible"),
        ] {
            let error = read(text, scheme).unwrap_err();
            assert!(error.contains(why) && error.contains("hint: ") && !error.contains("geh"), "{text:?}: {error}");
        }
        assert!(read(vec![b'a'; 16 * 1024 + 1], Scheme::Bearer).unwrap_err().contains("longer than"));
        assert!(Credential::read(Path::new("/nowhere"), Scheme::Bearer).unwrap_err().to_string().contains("may read"));
    }
}
