#pragma once
// Trends: one case over all runs of a machine; is the newest better than the run before, and than last week? Where did
// its level change, and what has been decided about that?
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QPushButton>

#include "gui/model/alerts.h"
#include "gui/model/trend.h"
#include "gui/plot/plot_view.h"
#include "gui/views/view.h"

namespace assay::gui {

class TrendsView : public View {
 public:
  TrendsView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return runs_->grid(); }
  void move(int rows) override { cases_->move(rows); }
  void activate() override;
  void toggle_scale() override;
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  QComboBox* metric_box() const { return metric_; }
  const Trend& trend() const { return trend_; }
  const TrendLevels& levels() const { return levels_; }
  QString answer() const { return answer_->text(); }
  QString pair_text() const { return pair_->text(); }
  PlotView& plot() { return *level_; }
  GridView& alerts() { return *alerts_; }
  GridView& runs() { return *runs_; }
  QDoubleSpinBox* penalty_box() const { return penalty_; }
  // As the menu of a run does it: a new level begins with it, or does not after all. False, with the banner
  // saying why, where it cannot be written.
  bool cut(qint64 run, const QString& remark);
  bool take_back(qint64 run, const QString& remark);
  // As the menu of the alerts does it, of the group or of one of its alerts alone; false, with the banner saying why,
  // where it cannot be written.
  bool decide(qint64 group, const QString& outcome, const QString& remark, std::optional<std::size_t> alone = {});

 private:
  struct Shown {
    std::shared_ptr<const RunData> data;
    std::int64_t id = 0;
    std::string metric;  // wished for
    std::string runs;    // the words of the filter that choose runs
    bool dark = false;
    bool operator==(const Shown&) const = default;
  };
  QWidget* make_left();
  QWidget* make_right();
  QWidget* make_rule();
  void list_cases(const std::shared_ptr<const RunData>& data);
  void show_case();
  void show_answer(const CaseResult& result, std::size_t at);
  void show_level(double now);
  void show_runs();
  void show_alerts(const std::string& machine);
  void show_pair(std::size_t from, std::size_t to);
  const Value& wished(const CaseResult& result) const;  // of the metric chosen; of the main one where it has none
  void list_metrics(const CaseResult& result);
  void replay();  // the detector with other thresholds
  void offer_decisions(const QPoint& at);
  void offer_cut(qint64 run, const QPoint& at);
  bool change_cut(qint64 run, const QString& remark, bool cut);
  void ask_and_decide(qint64 group, const std::string& outcome, std::optional<std::size_t> alone);
  const CaseResult* shown_case() const;

  Shown shown_;
  struct Listed {  // what the list of cases was made of
    std::shared_ptr<const RunData> data;
    std::vector<const CaseResult*> cases;
    std::string metric;
    bool dark = false;
    bool operator==(const Listed&) const = default;
  };
  Listed listed_;
  Trend trend_;
  TrendLevels levels_;
  bool log_ = false;
  std::vector<AlertGroup> groups_;
  std::pair<std::size_t, std::size_t> ends_ = {0, 0};  // of the pair that is told about
  GridView* cases_;
  QLabel* alerts_title_;
  GridView* alerts_;
  QLabel* title_;
  QComboBox* metric_;
  std::string wish_;  // a metric; "": each case's main one
  QLabel* answer_;
  QLabel* levels_text_;
  QDoubleSpinBox* penalty_;
  QDoubleSpinBox* floor_;
  PlotView* level_;
  PlotView* from_before_;
  PlotView* from_first_;
  QLabel* pair_;
  QPushButton* compare_;
  QPushButton* bisect_;
  GridView* runs_;
};

}  // namespace assay::gui
