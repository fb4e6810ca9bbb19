#pragma once
// Ratios as coloured cells; what is UNSURE is hatched, so that no colour speaks louder than its verdict.
#include <QWidget>
#include <vector>

#include "gui/model/heat.h"

namespace assay::gui {

class HeatPlot : public QWidget {
  Q_OBJECT

 public:
  explicit HeatPlot(QWidget* parent = nullptr);
  void show_map(HeatMap map);
  const HeatMap& map() const { return map_; }
  QRectF cell_place(const HeatCell& cell) const;
  void choose(std::size_t which);  // draws a frame around it

 Q_SIGNALS:
  void cell_chosen(qint64 which);  // of the cases that the map was made of

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  const HeatCell* cell_at(QPointF place) const;
  const HeatCell* find(std::size_t row, std::size_t column) const;
  double names_width() const;

  HeatMap map_;
  std::size_t chosen_ = 0;
};

}  // namespace assay::gui
