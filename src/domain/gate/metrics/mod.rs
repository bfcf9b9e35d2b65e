//! Grades measured values by the metrics of a Canary or an AnalysisTemplate: ranges and conditions, as their tools do.

pub mod expression;
pub mod grade;
