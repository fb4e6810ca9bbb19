#include "gui/views/claims_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QSplitter>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <map>

#include "gui/model/palette.h"
#include "gui/theme.h"
#include "harness/params.h"

namespace assay::gui {
namespace {
using results_db::ClaimRecord;
using results_db::VerdictRecord;

constexpr std::size_t most_drawn = 14;

std::string short_name(const std::string& technique) { return technique.substr(technique.rfind('/') + 1); }
std::string key_of(const std::string& claim) {
  const std::size_t hash = claim.rfind('#');
  return hash == std::string::npos ? claim : claim.substr(hash + 1);
}

// A ratio is a factor, whatever its quantity is measured in.
std::string number(double value, const ClaimRecord& claim) {
  if (claim.form == "ratio") return fmt::format("{:.3g}x", value);
  if (claim.form == "bool") return value != 0 ? "yes" : "no";
  return value_text(value, claim.unit, claim.unit == "1" ? claim.quantity : "");
}

std::string between(double low, double high, const ClaimRecord& claim) {
  if (claim.form == "ratio" || claim.form == "bool") return number(low, claim) + " to " + number(high, claim);
  return range_text(low, high, claim.unit, claim.unit == "1" ? claim.quantity : "");
}

std::string paper_text(const ClaimRecord& claim) {
  if (claim.low && claim.high) return between(*claim.low, *claim.high, claim);
  if (!claim.value) return "";
  const std::string text = number(*claim.value, claim);
  if (claim.bound == "at_least") return "at least " + text;
  if (claim.bound == "at_most") return "at most " + text;
  if (claim.bound == "up_to") return "up to " + text;
  return text;
}

double paper_value(const ClaimRecord& claim) {
  if (claim.value) return *claim.value;
  return claim.low && claim.high ? std::sqrt(*claim.low * *claim.high) : std::nan("");
}

int rank_of(const std::string& verdict) {
  static const std::vector<std::string> order = {"contradicted", "not reproduced", "partial",
                                                 "reproduced",   "exceeded",       "untestable"};
  for (std::size_t i = 0; i < order.size(); ++i)
    if (verdict.starts_with(order[i])) return static_cast<int>(i);
  return static_cast<int>(order.size());
}

QString glyph_of(const std::string& provenance) {
  return provenance.empty() ? QString() : provenance_glyph(results_db::provenance_from(provenance)) + QLatin1Char(' ');
}

QString field(const QString& name, const std::string& value) {
  if (value.empty()) return {};
  return QStringLiteral("<tr><td style='color:%1; padding-right:12px'>%2</td><td>%3</td></tr>")
      .arg(theme().dim.name(), name, text_of(value).toHtmlEscaped());
}

// eff_gemm -> efficiency of GEMM
std::string constant_title(const std::string& constant) {
  constexpr std::string_view efficiency = "eff_";
  if (!constant.starts_with(efficiency)) return axis_title(constant);
  const std::string of = constant.substr(efficiency.size());
  return "efficiency of " + (of == "gemm" ? "GEMM" : axis_title(of));
}

// "a100-80g-sxm.eff_gemm, a100-80g-sxm.eff_attention" -> "efficiency of GEMM + 1": the device is the claim's.
GridCell fragile_cell(const std::string& constants) {
  GridCell cell;
  if (constants.empty()) return cell;
  const std::string first = constants.substr(0, constants.find(','));
  const auto more = std::count(constants.begin(), constants.end(), ',');
  cell.text = text_of(constant_title(first.substr(first.rfind('.') + 1)));
  if (more > 0) cell.text += QStringLiteral(" + %1").arg(more);
  cell.color = theme().warn;
  cell.tip = ClaimsView::tr("moving one of these by its residual changes the verdict: %1").arg(text_of(constants));
  return cell;
}

std::string setting_text(const results_db::ConfigurationRecord& held) {
  std::string text;
  for (const std::string& part : {held.model, held.device, held.cluster, held.dtype, held.workload})
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  if (held.ranks > 1) text += fmt::format("{}{} ranks", text.empty() ? "" : ", ", held.ranks);
  if (const std::string axes = harness::Params::from_json(held.axes_json).to_line(); !axes.empty())
    text += (text.empty() ? "" : ", ") + axes;
  return text;
}

}  // namespace

ClaimsView::ClaimsView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("claims"), tr("Claims"), parent) {
  auto* layout = page();
  summary_ = new QLabel;
  offers_all(summary_);
  layout->addWidget(summary_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  claims_ = new GridView(tr("claims"));
  auto* lower = new QSplitter(Qt::Horizontal);
  lower->setHandleWidth(10);
  detail_ = new QLabel;
  detail_->setWordWrap(true);
  detail_->setTextFormat(Qt::RichText);
  detail_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  detail_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  detail_->setMargin(6);
  auto* scroll = scrolled(detail_, tr("the claim in words"));
  plot_ = new PlotView;
  lower->addWidget(scroll);
  auto* right = new QWidget;
  auto* down = new QVBoxLayout(right);
  down->setContentsMargins(0, 0, 0, 0);
  as_hinge_ = new QPushButton(tr("What the verdict hinges on"));
  as_hinge_->setCheckable(true);
  as_hinge_->setToolTip(tr("Ours with one condition at a time moved"));
  finding_ = quiet_line();
  timeline_ = new QPushButton(tr("Its timeline"));
  connect(timeline_, &QPushButton::clicked, this, [this] {
    this->session().select_case(timeline_case_);
    Q_EMIT view_wanted(QStringLiteral("timeline"));
  });
  auto* line = new QHBoxLayout;
  line->addWidget(as_hinge_);
  line->addWidget(timeline_);
  line->addStretch(1);
  down->addLayout(line);
  down->addWidget(finding_);
  down->addWidget(plot_, 1);
  lower->addWidget(right);
  lower->setSizes({500, 560});
  splitter->addWidget(claims_);
  splitter->addWidget(lower);
  splitter->setSizes({340, 300});
  layout->addWidget(splitter, 1);
  connect(claims_, &GridView::row_selected, this, [this](qint64 id) { show_claim(id); });
  connect(plot_, &PlotView::point_clicked, this, [this](qint64 id) { claims_->select_id(id); });
  connect(as_hinge_, &QPushButton::toggled, this, [this] { show_claim(claims_->current_id()); });
}

void ClaimsView::toggle_scale() {
  other_scale_ = !other_scale_;
  show_claim(claims_->current_id());
}

// What the claimed program did in the run looked at, where that was recorded.
void ClaimsView::look_for_timeline(const std::string& technique) {
  const auto data = session().run();
  if (data != timelines_of_) {
    timelines_.clear();
    if (data)
      session().guarded([&] {
        for (const auto& held : session().database()->store().timelines(data->run.id))
          timelines_.push_back(held.case_id);
      });
    timelines_of_ = data;
  }
  timeline_case_ = 0;
  for (const std::int64_t id : timelines_)
    if (const CaseResult* result = data->find(id); result != nullptr && result->info.record.technique == technique)
      timeline_case_ = timeline_case_ == 0 ? id : timeline_case_;
  timeline_->setEnabled(timeline_case_ != 0);
  timeline_->setToolTip(timeline_case_ != 0 ? tr("what this program did when, in the run looked at")
                                            : tr("the run looked at has no timeline of this technique"));
}

QStringList ClaimsView::arguments() const {
  const qint64 id = claims_->current_id();
  QStringList out;
  if (id >= 1 && id <= static_cast<qint64>(rows_.size()))
    out << QStringLiteral("claim=") + text_of(rows_[static_cast<std::size_t>(id - 1)].claim.id);
  if (as_hinge_->isChecked()) out << QStringLiteral("hinge=1");
  return out;
}

void ClaimsView::set_arguments(const QMap<QString, QString>& values) {
  wanted_ = values.value(QStringLiteral("claim")).toStdString();
  as_hinge_->setChecked(values.value(QStringLiteral("hinge")) == QStringLiteral("1"));
}

void ClaimsView::refresh() {
  Database* database = session().database();
  const QString command = tr("assay reproduce flash-attention-2 --store --db %1")
                              .arg(session().path().isEmpty() ? QStringLiteral("assay.db") : session().path());
  if (database == nullptr) return show_empty(tr("No verdict on a paper's claim yet."), command);
  rows_.clear();
  if (!session().guarded([&] {
        std::map<std::string, VerdictRecord> verdicts;
        for (auto& verdict : database->store().verdicts()) verdicts[verdict.claim] = verdict;
        for (auto& claim : database->store().claims()) {
          Row row{claim, std::nullopt};
          if (const auto found = verdicts.find(claim.id); found != verdicts.end()) row.verdict = found->second;
          rows_.push_back(std::move(row));
        }
        configurations_ = database->store().configurations();
      }))
    return;
  if (rows_.empty()) return show_empty(tr("No verdict on a paper's claim yet."), command);
  show_content();
  Grid grid;
  grid.columns = {{tr("verdict")},
                  {tr("technique")},
                  {tr("claim"), false, true},
                  {tr("quantity"), false, false, 2},
                  {tr("paper"), true},
                  {tr("ours"), true},
                  {tr("ours, interval"), true, false, 1},
                  {tr("fragile")}};
  std::map<std::string, int> counts;
  std::vector<std::size_t> order(rows_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (rows_[a].claim.technique != rows_[b].claim.technique)
      return rows_[a].claim.technique < rows_[b].claim.technique;
    return rank_of(rows_[a].verdict ? rows_[a].verdict->verdict : "") <
           rank_of(rows_[b].verdict ? rows_[b].verdict->verdict : "");
  });
  std::size_t hidden = 0;
  for (const std::size_t i : order) {
    const ClaimRecord& claim = rows_[i].claim;
    const std::string verdict = rows_[i].verdict ? rows_[i].verdict->verdict : "not judged";
    if (!matches_text(session().filter(),
                      claim.id + " " + claim.quantity + " " + verdict + " " + claim.paper + " " + claim.published,
                      verdict)) {
      ++hidden;
      continue;
    }
    ++counts[verdict];
    GridRow row;
    row.id = static_cast<qint64>(i) + 1;
    GridCell word(text_of(verdict));
    word.color = claim_color(verdict);
    word.strong = true;
    GridCell name(text_of(short_name(claim.technique)));
    name.color = technique_color(claim.technique);
    name.tip = text_of(claim.technique);
    GridCell key(text_of(axis_title(key_of(claim.id))));
    key.text.replace(QLatin1Char('-'), QLatin1Char(' '));
    key.tip = text_of(claim.published);
    GridCell ours, interval, fragile;
    if (rows_[i].verdict) {
      const VerdictRecord& held = *rows_[i].verdict;
      if (held.ours)
        ours = GridCell::number(glyph_of(held.provenance) + text_of(number(*held.ours, claim)), *held.ours);
      if (held.ours_low && held.ours_high) interval = text_of(between(*held.ours_low, *held.ours_high, claim));
      ours.tip = text_of(held.provenance);
      fragile = fragile_cell(held.fragile);
    }
    row.cells = {word,
                 name,
                 key,
                 text_of(metric_title(claim.quantity)),
                 GridCell::number(text_of(paper_text(claim)), paper_value(claim)),
                 ours,
                 interval,
                 fragile};
    grid.rows.push_back(std::move(row));
  }
  // A column that says the same in every row takes the room of the others.
  const QString only = said_once(grid, 1);
  QStringList words;
  if (!only.isEmpty()) words << only;
  for (const char* verdict :
       {"reproduced", "exceeded", "partial", "not reproduced", "contradicted", "untestable", "not judged"})
    if (counts[verdict] > 0)
      words << QStringLiteral("<b style='color:%1'>%2</b> %3")
                   .arg(claim_color(verdict).name())
                   .arg(counts[verdict])
                   .arg(QString::fromLatin1(verdict));
  if (hidden > 0) words << hidden_text(tr("%1 hidden by the filter").arg(hidden));
  summary_->setText(words.join(QStringLiteral(" &nbsp;·&nbsp; ")));
  const bool any = !grid.rows.empty();
  const qint64 first = any ? grid.rows.front().id : 0;
  claims_->show_grid(std::move(grid));
  if (!wanted_.empty())
    for (std::size_t i = 0; i < rows_.size(); ++i)
      if (rows_[i].claim.id == wanted_) claims_->select_id(static_cast<qint64>(i) + 1);
  wanted_.clear();
  if (any && claims_->current_id() == 0) claims_->select_id(first);
  show_claim(claims_->current_id());
}

void ClaimsView::show_claim(qint64 id) {
  const bool any = id >= 1 && id <= static_cast<qint64>(rows_.size());
  detail_->setVisible(any);
  plot_->setVisible(any);
  if (!any) return;
  const Row& row = rows_[static_cast<std::size_t>(id - 1)];
  const ClaimRecord& claim = row.claim;
  QString text = QStringLiteral("<b style='font-size:15px'>%1</b><table cellspacing=4>")
                     .arg(text_of(claim.published).toHtmlEscaped());
  text += field(tr("paper"), claim.paper + (claim.arxiv.empty() ? "" : " (" + claim.arxiv + ")") +
                                 (claim.where.empty() ? "" : ", " + claim.where));
  text += field(tr("read"), claim.source);
  if (claim.form == "ratio" || claim.form == "difference") text += field(tr("against"), short_name(claim.baseline));
  std::string settings;
  std::string assumed;
  for (const auto& configuration : configurations_) {
    if (std::find(claim.configurations.begin(), claim.configurations.end(), configuration.id) ==
        claim.configurations.end())
      continue;
    if (settings.empty()) settings = setting_text(configuration);
    for (const std::string& words : configuration.assumed)
      if (assumed.find(words) == std::string::npos) assumed += (assumed.empty() ? "" : "; ") + words;
  }
  if (claim.configurations.size() > 1)
    settings += fmt::format("{}{} settings", settings.empty() ? "" : ", the first of ", claim.configurations.size());
  text += field(tr("setting"), settings);
  text += field(tr("assumed"), assumed);
  std::string flags;
  for (const std::string& flag : claim.flags) flags += (flags.empty() ? "" : ", ") + flag;
  text += field(tr("flags"), flags);
  text += field(tr("note"), claim.note);
  if (row.verdict) {
    const VerdictRecord& held = *row.verdict;
    text += field(tr("verdict"), held.verdict + (held.provenance.empty() ? "" : ", " + held.provenance));
    text += field(tr("because"), held.reason);
    text += field(tr("fragile"), held.fragile);
    text += field(tr("judged"), moment_text(held.at_ns));
  } else {
    text += field(tr("verdict"), "not judged; assay reproduce " + short_name(claim.technique) + " --store");
  }
  detail_->setText(text + QStringLiteral("</table>"));
  look_for_timeline(claim.technique);
  const auto hinge = row.verdict ? hinge_of(*row.verdict) : std::nullopt;
  as_hinge_->setEnabled(hinge.has_value());
  finding_->setText(hinge ? text_of(finding(*hinge))
                          : tr("assay reproduce '%1' --hinge --store finds out").arg(text_of(claim.id)));
  if (hinge && as_hinge_->isChecked())
    show_hinge(row, *hinge);
  else
    show_plot(row);
}

// One row a condition, the widest on top; a bar from ours to where the condition takes it.
void ClaimsView::show_hinge(const Row& row, const HingeTable& table) {
  PlotSpec spec;
  spec.title = tr("ours with one condition moved");
  spec.x.unit = row.claim.form == "ratio" ? "1" : row.claim.unit;
  spec.x.title = row.claim.form == "ratio" ? tr("ratio to the baseline") : text_of(metric_title(row.claim.quantity));
  PlotSeries keeps, changes;
  keeps.color = theme().dim;
  changes.color = theme().bad;
  for (PlotSeries* series : {&keeps, &changes}) {
    series->provenance = row.verdict->provenance.empty() ? results_db::Provenance::projected
                                                         : results_db::provenance_from(row.verdict->provenance);
    series->line = false;
    series->marker = series == &keeps ? 0 : 2;
  }
  const double ours = row.verdict->ours.value_or(std::nan(""));
  std::vector<const HingeBar*> shown;
  for (const HingeBar& bar : table.bars)
    if (shown.size() < most_drawn) shown.push_back(&bar);
  std::reverse(shown.begin(), shown.end());
  for (const HingeBar* bar : shown) {
    const auto y = static_cast<double>(spec.y.categories.size());
    spec.y.categories.push_back(text_of(bar->condition + " = " + bar->nominal));
    for (const HingeSide& side : bar->sides) {
      if (!side.ours) continue;
      PlotPoint point{*side.ours,
                      y,
                      {},
                      {},
                      0,
                      QStringLiteral("%1 = %2 (%3)\nmoved to %4: %5, %6")
                          .arg(text_of(bar->condition), text_of(bar->nominal), text_of(bar->kind),
                               text_of(side.setting), text_of(number(*side.ours, row.claim)), text_of(side.verdict))};
      if (std::isfinite(ours)) {
        point.low = std::min(ours, *side.ours);
        point.high = std::max(ours, *side.ours);
      }
      (side.verdict == row.verdict->verdict ? keeps : changes).points.push_back(std::move(point));
    }
  }
  if (std::isfinite(ours))
    spec.references.push_back({ours, true, tr("ours"), technique_color(row.claim.technique), Qt::SolidLine});
  if (const double paper = paper_value(row.claim); std::isfinite(paper))
    spec.references.push_back(
        {paper, true, tr("paper"), theme().text, provenance_pen(results_db::Provenance::claimed)});
  spec.series.push_back(std::move(keeps));
  spec.series.push_back(std::move(changes));
  plot_->setVisible(!spec.y.categories.empty());
  plot_->show_spec(std::move(spec));
}

void ClaimsView::show_plot(const Row& chosen) {
  PlotSpec spec;
  spec.title = text_of(short_name(chosen.claim.technique));
  spec.y.title = tr("paper (hollow) and ours");
  spec.x.unit = chosen.claim.form == "ratio" ? "1" : chosen.claim.unit;
  spec.x.title =
      chosen.claim.form == "ratio" ? tr("ratio to the baseline") : text_of(metric_title(chosen.claim.quantity));
  PlotSeries paper;
  paper.color = theme().text;
  paper.provenance = results_db::Provenance::claimed;
  paper.marker = 2;
  paper.line = false;
  std::map<results_db::Provenance, PlotSeries> ours;  // measured and projected are two series
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (std::size_t i = 0; i < rows_.size() && spec.y.categories.size() < most_drawn; ++i) {
    const Row& row = rows_[i];
    if (row.claim.technique != chosen.claim.technique || row.claim.form != chosen.claim.form || !row.verdict ||
        !row.verdict->ours)
      continue;
    if (row.claim.form != "ratio" &&
        (row.claim.unit != chosen.claim.unit || row.claim.quantity != chosen.claim.quantity))
      continue;
    const double value = paper_value(row.claim);
    if (!std::isfinite(value) || value <= 0 || *row.verdict->ours <= 0) continue;
    const auto y = static_cast<double>(spec.y.categories.size());
    QString name = text_of(key_of(row.claim.id));
    spec.y.categories.push_back(name.replace(QLatin1Char('-'), QLatin1Char(' ')));
    const QString tip = QStringLiteral("%1\npaper %2, ours %3: %4")
                            .arg(text_of(row.claim.published), text_of(paper_text(row.claim)),
                                 text_of(number(*row.verdict->ours, row.claim)), text_of(row.verdict->verdict));
    const qint64 id = static_cast<qint64>(i) + 1;
    paper.points.push_back({value, y, row.claim.low, row.claim.high, id, tip});
    const auto provenance = row.verdict->provenance.empty() ? results_db::Provenance::derived
                                                            : results_db::provenance_from(row.verdict->provenance);
    PlotSeries& series = ours[provenance];
    series.provenance = provenance;
    series.color = technique_color(chosen.claim.technique);
    series.marker = marker_shape(chosen.claim.technique);
    series.line = false;
    series.points.push_back({*row.verdict->ours, y, row.verdict->ours_low, row.verdict->ours_high, id, tip});
    low = std::min({low, value, *row.verdict->ours});
    high = std::max({high, value, *row.verdict->ours});
  }
  spec.x.log = (high > 8 * low) != other_scale_;
  if (chosen.claim.form == "ratio")
    spec.references.push_back({1, true, tr("the baseline"), theme().dim, Qt::SolidLine});
  spec.series.push_back(std::move(paper));
  for (auto& [provenance, series] : ours) spec.series.push_back(std::move(series));
  plot_->setVisible(!spec.y.categories.empty());
  plot_->show_spec(std::move(spec));
}

}  // namespace assay::gui
