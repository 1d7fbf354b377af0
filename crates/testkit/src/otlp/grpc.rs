//! The receiver over gRPC, by tonic: what ships has a client of its own, and shall not be tested by itself.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Manner, Received, plain};

/// What is called.
#[derive(Debug, Clone)]
pub(super) struct Calls(pub(super) Arc<Received>);

impl Calls {
    /// Behaves; how many items are not wanted.
    async fn begin(&self) -> Result<i64, Status> {
        let manner = self.0.manner.borrow().clone();
        match manner {
            Manner::Takes => Ok(0),
            Manner::Rejects(items) => Ok(items),
            Manner::Silent => std::future::pending().await,
            Manner::Slow(pause) => {
                tokio::time::sleep(pause).await;
                Ok(0)
            }
            Manner::Answers { status, retry_after } => {
                let code = match status {
                    429 => Code::ResourceExhausted,
                    502..=504 => Code::Unavailable,
                    _ => Code::InvalidArgument,
                };
                Err(match retry_after {
                    Some(pause) => {
                        Status::with_error_details(code, "not now", ErrorDetails::with_retry_info(Some(pause)))
                    }
                    None => Status::new(code, "not now"),
                })
            }
        }
    }
}

#[tonic::async_trait]
impl TraceService for Calls {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let rejected_spans = self.begin().await?;
        let spans = plain::spans(request.into_inner());
        self.0.spans.send_modify(|all| all.extend(spans));
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: "not all of it".to_owned() };
        let partial_success = (rejected_spans > 0).then_some(partial);
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Calls {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let rejected_log_records = self.begin().await?;
        let lines = plain::logs(request.into_inner());
        self.0.logs.send_modify(|all| all.extend(lines));
        let partial = ExportLogsPartialSuccess { rejected_log_records, error_message: "not all of it".to_owned() };
        let partial_success = (rejected_log_records > 0).then_some(partial);
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Calls {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let rejected_data_points = self.begin().await?;
        self.0.metrics.send_modify(|all| all.extend(request.into_inner().resource_metrics));
        let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: "not all of it".to_owned() };
        let partial_success = (rejected_data_points > 0).then_some(partial);
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

/// The three services on one connection.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) traces: TraceServiceServer<Calls>,
    pub(super) metrics: MetricsServiceServer<Calls>,
    pub(super) logs: LogsServiceServer<Calls>,
}

type Answering = Pin<Box<dyn Future<Output = Result<hyper::Response<tonic::body::Body>, Infallible>> + Send + 'static>>;

impl tower_service::Service<hyper::Request<Incoming>> for Services {
    type Response = hyper::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Answering {
        let path = request.uri().path().to_owned();
        if path.contains(".trace.") {
            self.traces.call(request)
        } else if path.contains(".metrics.") {
            self.metrics.call(request)
        } else {
            self.logs.call(request)
        }
    }
}
