//! Lists of revoked certificates (PEM, RFC 5280 section 5): which can be used, and what is wrong with those that cannot.
//!
//! With lists every certificate of a chain must be covered by one of its issuer: what no list speaks of is refused, as is everything
//! once a list is out of date. An old list is refused when it is read, so that the one in use stays.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::formats::problem::Problem;
use crate::formats::validity;

/// Reads all lists of these files.
///
/// # Errors
///
/// Returns the first file that cannot be read, has no list, or one that cannot be used or is out of date.
pub fn lists(files: &[PathBuf]) -> Result<Vec<CertificateRevocationListDer<'static>>, Box<Problem>> {
    let mut lists = Vec::new();
    for path in files {
        let before = lists.len();
        let unreadable = |error: &dyn std::fmt::Display| {
            problem(path, format!("the list of revoked certificates cannot be read: {error}"), "write a PEM file that this user may read")
        };
        for list in CertificateRevocationListDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
            let list = list.map_err(|error| unreadable(&error))?;
            usable(path, &list)?;
            lists.push(list);
        }
        if lists.len() == before {
            let hint = "write a PEM file with BEGIN X509 CRL; openssl crl -inform DER -in list.crl makes one of a binary list";
            return Err(problem(path, "there is no list of revoked certificates in the file".to_owned(), hint));
        }
    }
    Ok(lists)
}

/// Says why lists that can be read cannot be used together with the authorities.
pub fn unusable(files: &[PathBuf], error: &dyn std::fmt::Display) -> Box<Problem> {
    let path = files.first().map_or(Path::new(""), PathBuf::as_path);
    problem(path, format!("certificates cannot be checked by this list: {error}"), "write the lists of the authorities (PEM)")
}

fn usable(path: &Path, list: &CertificateRevocationListDer<'_>) -> Result<(), Box<Problem>> {
    if let Err(error) = webpki::BorrowedCertRevocationList::from_der(list) {
        return Err(unusable(&[path.to_owned()], &error));
    }
    let hint = "fetch the authority's current list; certificates cannot be checked by an old one";
    let Some(next) = validity::next_update(list) else {
        return Err(problem(path, "the list of revoked certificates does not say when the next one is due".to_owned(), hint));
    };
    // The one use of the wall clock that RFC 5280 asks for.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if next <= now {
        let since = (now - next) / 3600;
        return Err(problem(path, format!("the list of revoked certificates is out of date since {since} h"), hint));
    }
    Ok(())
}

fn problem(path: &Path, message: String, hint: &str) -> Box<Problem> {
    Box::new(Problem::error(&path.display().to_string(), "", message).with_hint(hint))
}
