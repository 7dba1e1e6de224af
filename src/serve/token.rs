//! What a request has to know: a random secret, in the address that is printed at the start.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Bytes of randomness.
const LENGTH: usize = 32;
/// The fewest characters of a token in a file.
const SHORTEST: usize = 32;

pub struct Token {
    text: String,
    digest: [u8; 32],
}

impl Token {
    /// # Errors
    ///
    /// The kernel has no random numbers.
    pub fn random() -> Result<Token> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).context("random numbers")?;
        Ok(Token::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The one that a file has, which is written if there is none.
    ///
    /// # Errors
    ///
    /// A file that others can read, that belongs to another user, or that has no token.
    pub fn of_file(path: &Path) -> Result<Token> {
        let shown = path.display();
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match new {
            Ok(mut file) => {
                let token = Token::random()?;
                writeln!(file, "{}", token.text)
                    .with_context(|| format!("the token can't be written to {shown}"))?;
                return Ok(token);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("{shown} can't be created")),
        }
        let meta = fs::metadata(path).with_context(|| format!("{shown} can't be read"))?;
        let own = rustix::process::geteuid().as_raw();
        ensure!(
            meta.is_file() && [0, own].contains(&meta.uid()) && meta.mode() & 0o027 == 0,
            "{shown} can be read or written by other users, or is not a regular file of yours: 'chmod 600 {shown}', \
             or remove it, and egrets writes a new one"
        );
        let text = fs::read_to_string(path).with_context(|| format!("{shown} can't be read"))?;
        let text = text.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            text.len() >= SHORTEST && text.len() <= 256 && text.chars().all(fits),
            "{shown} has no token: {SHORTEST} to 256 letters, digits, - and _; remove it, and \
             egrets writes a new one"
        );
        Ok(Token::new(text.to_owned()))
    }

    fn new(text: String) -> Token {
        let digest = Sha256::digest(&text).into();
        Token { text, digest }
    }

    /// For the address that is printed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How long this takes says nothing of the token: what is compared is a digest, and who tries
    /// can't choose that.
    pub fn is(&self, text: &[u8]) -> bool {
        Sha256::digest(text)[..] == self.digest
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_known_by_itself_alone_and_kept_in_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let token = Token::of_file(&file).unwrap();
        assert!(token.text.len() >= 43 && token.is(token.text.as_bytes()));
        for wrong in ["", &token.text[1..], &format!("{}A", token.text)] {
            assert!(!token.is(wrong.as_bytes()));
        }
        assert_ne!(Token::random().unwrap().text, token.text);
        assert_eq!(Token::of_file(&file).unwrap().text, token.text);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        // its group may, such as that of Prometheus; others may not
        for (mode, accepted) in [(0o640, true), (0o604, false), (0o620, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Token::of_file(&file).is_ok(), accepted, "{mode:o}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for short in ["", "short\n", &"x y ".repeat(20)] {
            fs::write(&file, short).unwrap();
            assert!(Token::of_file(&file).is_err(), "{short:?}");
        }
    }
}
