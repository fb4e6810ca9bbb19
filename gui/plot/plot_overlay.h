#pragma once
// What Qt Charts has not, drawn around and over its lines: axes in the field's units, intervals, names beside lines,
// roofs, references; and lines and markers themselves where they are many.
#include <QGraphicsItem>

#include "gui/plot/plot_spec.h"

namespace assay::gui {

class PlotView;

constexpr double marker_reach = 4;  // pixels from its middle

bool usable(double value, bool log);              // has a place on the axis
bool few(const PlotSpec& spec);                   // series and points: Qt Charts draws them
bool is_real(results_db::Provenance provenance);  // somebody's clock has been there, or a formula over such a number

// Qt Charts stacks its own items from -1 (ground) over 2 (grid) to 4 (series) and on.
enum class Layer { below_series, above_series };

class PlotOverlay : public QGraphicsItem {
 public:
  PlotOverlay(Layer layer, PlotView* view, QGraphicsItem* parent);
  QRectF boundingRect() const override;
  void paint(QPainter* painter, const QStyleOptionGraphicsItem* option, QWidget* widget) override;

 private:
  void paint_axes(QPainter& painter, const QRectF& area) const;
  void paint_marks(QPainter& painter, const QRectF& area) const;
  void paint_segment(QPainter& painter, const PlotSegment& segment) const;
  void paint_segment_names(QPainter& painter, const QRectF& area) const;
  void paint_intervals(QPainter& painter) const;
  void paint_series(QPainter& painter, const QRectF& area) const;
  void paint_names(QPainter& painter, const QRectF& area) const;

  Layer layer_;
  PlotView* view_;
};

}  // namespace assay::gui
