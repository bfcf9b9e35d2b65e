//! A request while it is answered, as a connection keeps it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::proxy::body::Answer;

pin_project! {
    /// Waits for an answer and wraps its body.
    ///
    /// An async block would have room for what it waits for twice: as it was given, and as it is polled. hyper moves it about for each
    /// request.
    pub struct Answering<F, W> {
        #[pin]
        handling: F,
        wrap: Option<W>,
    }
}

impl<F, W> Answering<F, W> {
    /// Will wrap the body of what comes of `handling`.
    pub const fn new(handling: F, wrap: W) -> Self {
        Self { handling, wrap: Some(wrap) }
    }
}

impl<F, W, B> Future for Answering<F, W>
where
    F: Future<Output = Response<Answer>>,
    W: FnOnce(Answer) -> B,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.handling.poll(cx));
        // hyper polls nothing again that has ended.
        this.wrap.take().map_or(Poll::Pending, |wrap| Poll::Ready(Ok(answer.map(wrap))))
    }
}
