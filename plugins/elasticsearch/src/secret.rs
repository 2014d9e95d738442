//! Credentials: from files, and in nothing that is printed.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ringmill_sdk::{prelude::*, secret};
use ureq::http::HeaderValue;

use crate::options::Options;

/// More than any password or API key.
const LONGEST: u64 = 4096;

/// What the store is told of who we are.
#[derive(Debug)]
pub(crate) struct Credentials {
    source: Source,
    header: Option<HeaderValue>,
}

#[derive(Debug)]
enum Source {
    Nobody,
    User { name: String, password_file: PathBuf },
    ApiKey { file: PathBuf },
}

impl Credentials {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let source = match (&options.username, &options.password_file, &options.api_key_file) {
            (None, None, None) => Source::Nobody,
            (Some(name), Some(file), None) if !name.contains(':') => {
                Source::User { name: name.clone(), password_file: file.clone() }
            }
            (Some(_), Some(_), None) => {
                return Err(Error::config("username", "must have no `:` in it"));
            }
            (None, None, Some(file)) => Source::ApiKey { file: file.clone() },
            (Some(_), None, _) => {
                return Err(Error::config("username", "needs `password_file` beside it"));
            }
            (None, Some(_), _) => {
                return Err(Error::config("password_file", "needs `username` beside it"));
            }
            (Some(_), Some(_), Some(_)) => {
                let why = "is one way and `username` another; keep one";
                return Err(Error::config("api_key_file", why));
            }
        };
        let header = source.header()?;
        Ok(Self { source, header })
    }

    /// The value of the field `Authorization`, if it is to be sent.
    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }

    /// Whether there are any.
    pub(crate) fn are_set(&self) -> bool {
        self.header.is_some()
    }

    /// Reads them again: the operator may have mended the file. Where that fails they stay.
    pub(crate) fn reload(&mut self) {
        if let Ok(header) = self.source.header() {
            self.header = header;
        }
    }
}

impl Source {
    fn header(&self) -> Result<Option<HeaderValue>> {
        let (option, text) = match self {
            Self::Nobody => return Ok(None),
            Self::User { name, password_file } => {
                let password = read("password_file", password_file)?;
                let both = STANDARD.encode(format!("{name}:{password}"));
                ("password_file", format!("Basic {both}"))
            }
            Self::ApiKey { file } => {
                let key = read("api_key_file", file)?;
                let key = if key.contains(':') { STANDARD.encode(key) } else { key };
                ("api_key_file", format!("ApiKey {key}"))
            }
        };
        let mut header = HeaderValue::try_from(text)
            .map_err(|_| Error::config(option, "holds what no header field can"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

/// Reads a secret; white space around it is ignored.
fn read(option: &str, path: &Path) -> Result<String> {
    let shown = path.display();
    let refused = |why: String| Error::config(option, why);
    let file = secret::open(path).map_err(refused)?;
    let mut text = String::new();
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|_| refused(format!("{shown} is no text")))?;
    match text.trim() {
        "" => Err(refused(format!("{shown} is empty"))),
        secret if secret.contains(char::is_control) => {
            Err(refused(format!("{shown} must have one line of text")))
        }
        secret => Ok(secret.to_owned()),
    }
}
