#include "gui/live_bar.h"

#include <QHBoxLayout>
#include <cmath>

#include "gui/theme.h"

namespace assay::gui {
namespace {

// Longer than any one launch of the suites takes: the run may have been killed.
constexpr double long_silence = 300;

QString duration(double seconds) {
  const auto whole = static_cast<long>(std::lround(seconds));
  if (whole < 90) return LiveBar::tr("%1 s").arg(whole);
  if (whole < 5400) return LiveBar::tr("%1 min").arg((whole + 30) / 60);
  return LiveBar::tr("%1 h %2 min").arg(whole / 3600).arg(whole % 3600 / 60);
}

}  // namespace

LiveBar::LiveBar(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
  setObjectName(QStringLiteral("livebar"));
  setAttribute(Qt::WA_StyledBackground);
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(16, 5, 16, 5);
  progress_ = new QProgressBar;
  progress_->setRange(0, 100);
  progress_->setFixedWidth(180);
  progress_->setAccessibleName(tr("progress of the run"));
  words_ = new QLabel;
  words_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  hold_ = new QPushButton;
  hold_->setCheckable(true);
  hold_->setToolTip(tr("Hold the page still while reading; what comes meanwhile is shown afterwards"));
  connect(hold_, &QPushButton::toggled, &session_, &Session::set_held);
  layout->addWidget(progress_);
  layout->addWidget(words_, 1);
  layout->addWidget(hold_);
  hide();
}

void LiveBar::refresh(std::int64_t now_ns) {
  const auto data = session_.run();
  const auto live = data ? live_run_of(*data, now_ns) : std::nullopt;
  // What is held must be let go somewhere, even when the run has ended meanwhile.
  setVisible(live.has_value() || session_.held());
  hold_->setText(session_.waiting() ? tr("Show what is new") : session_.held() ? tr("Held") : tr("Hold"));
  hold_->setAccessibleName(hold_->text());
  progress_->setVisible(live.has_value());
  whole_ = tr("held still");
  if (!live) return show_words();
  progress_->setValue(static_cast<int>(std::floor(100 * live->share())));
  QStringList words;
  if (live->expected_launches > 0)
    words << tr("launch %1 of about %2").arg(live->launches).arg(live->expected_launches);
  else
    words << tr("%1 launches").arg(live->launches);
  words << tr("case %1 of %2").arg(live->cases).arg(live->expected_cases);
  if (live->failed > 0) words << tr("%1 failed").arg(live->failed);
  words << tr("%1 so far").arg(duration(live->elapsed));
  if (live->silent > long_silence)
    words << tr("nothing new for %1: was it stopped?").arg(duration(live->silent));
  else if (live->left)
    words << tr("about %1 to go").arg(duration(*live->left));
  if (!live->newest.empty()) words << tr("last: %1").arg(text_of(live->newest));
  whole_ = words.join(QStringLiteral(" · "));
  show_words();
}

void LiveBar::show_words() {
  words_->setText(words_->fontMetrics().elidedText(whole_, Qt::ElideRight, words_->width()));
  words_->setToolTip(whole_);
}

void LiveBar::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  layout()->activate();
  show_words();
}

}  // namespace assay::gui
