//! What was predicted beside what was measured.

use super::Forecast;
use crate::record::{Figure, Mean, Prediction, Standing};

/// Each forecast beside the standing that it is about; one without is left out.
pub(super) fn beside(forecasts: &[Forecast], standings: &[Standing]) -> Vec<Prediction> {
    let mut predictions = Vec::new();
    for forecast in forecasts {
        let Some(standing) = standings.iter().find(|standing| standing.is_of(&forecast.levels)) else { continue };
        for (figure, predicted, measured) in [
            (Figure::Restarts, forecast.restarts, standing.restarts),
            (Figure::TimeLost, forecast.time_lost_ns, standing.time_lost_ns),
            (Figure::WorkLost, forecast.work_lost, standing.work_lost),
        ] {
            predictions.push(prediction(forecast, standing, figure, predicted, measured));
        }
    }
    predictions
}

fn prediction(forecast: &Forecast, standing: &Standing, figure: Figure, predicted: f64, measured: Mean) -> Prediction {
    let tolerance = measured.half.unwrap_or(0.0).max(measured.mean.abs() / 100.0);
    Prediction {
        mix: standing.mix.clone(),
        policy: standing.policy.clone(),
        setting: standing.setting.clone(),
        by: forecast.by,
        figure,
        predicted,
        measured: measured.mean,
        error: (measured.mean != 0.0).then(|| ((predicted - measured.mean) / measured.mean).abs()),
        within: (predicted - measured.mean).abs() <= tolerance,
    }
}
