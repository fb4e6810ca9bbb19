#include "gui/main_window.h"

#include <QApplication>
#include <QBuffer>
#include <QClipboard>
#include <QComboBox>
#include <QDateTime>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QMessageBox>
#include <QMimeData>
#include <QPainter>
#include <QPushButton>
#include <QSaveFile>
#include <QSettings>
#include <QShortcut>
#include <QSplitter>
#include <QStackedWidget>
#include <QStatusBar>
#include <QVBoxLayout>
#include <QtSvg/QSvgGenerator>

#include "gui/choice_box.h"
#include "gui/theme.h"
#include "gui/views/claims_view.h"
#include "gui/views/compare_view.h"
#include "gui/views/explore_view.h"
#include "gui/views/overview_view.h"
#include "gui/views/roofline_view.h"
#include "gui/views/runs_view.h"
#include "gui/views/timeline_view.h"
#include "gui/views/trends_view.h"

namespace assay::gui {
namespace {

constexpr int most_recent_files = 8;
constexpr QLatin1Char between_files(
    '\n');  // of one entry of the recent files: no path of a file that people open has it

QSettings settings() { return QSettings(QStringLiteral("assay"), QStringLiteral("assay-gui")); }

const char* keys_text =
    "<table cellspacing=6>"
    "<tr><td><b>1 ... 8</b></td><td>the views, top to bottom</td></tr>"
    "<tr><td><b>/</b></td><td>filter; Esc clears it, Enter goes on to the table</td></tr>"
    "<tr><td><b>j&nbsp;&nbsp;k</b></td><td>next and previous row</td></tr>"
    "<tr><td><b>Enter</b></td><td>open the row: its history, its details</td></tr>"
    "<tr><td><b>[&nbsp;&nbsp;]</b></td><td>the run before and the run after</td></tr>"
    "<tr><td><b>i</b></td><td>the selected case: its launches, and how to get the number again</td></tr>"
    "<tr><td><b>l</b></td><td>logarithmic or linear scale</td></tr>"
    "<tr><td><b>h</b></td><td>hold the page still while a run goes on</td></tr>"
    "<tr><td><b>Ctrl+K</b></td><td>every command by name</td></tr>"
    "<tr><td><b>Ctrl+C</b></td><td>copy the table for a spreadsheet (tab separated)</td></tr>"
    "<tr><td><b>Ctrl+Shift+C</b></td><td>copy it as Markdown</td></tr>"
    "<tr><td><b>Ctrl+E</b></td><td>export the view: PNG, SVG, HTML or CSV</td></tr>"
    "<tr><td><b>Ctrl+O</b></td><td>open a database; dropping files on the window does too</td></tr>"
    "<tr><td><b>Ctrl+Shift+O</b></td><td>look at another database together with this one</td></tr>"
    "<tr><td><b>wheel, drag</b></td><td>zoom and move a plot; a double click shows all of it again</td></tr>"
    "<tr><td><b>Ctrl and drag</b></td><td>zoom into a part of it; Shift and drag measures or compares its "
    "ends</td></tr>"
    "</table>"
    "<p>Filter: words, <code>technique=flash-attention-2</code>, <code>dtype=bf16,fp16</code>, "
    "<code>seq&gt;=4k</code>, "
    "<code>seq=1k..16k</code>, <code>-word</code>, <code>/regular expression/</code></p>";

}  // namespace

MainWindow::MainWindow(Remember remember, QWidget* parent) : QMainWindow(parent), remember_(remember) {
  setWindowTitle(QStringLiteral("assay"));
  setAcceptDrops(true);
  auto* central = new QWidget;
  auto* across = new QHBoxLayout(central);
  across->setContentsMargins(0, 0, 0, 0);
  across->setSpacing(0);
  across->addWidget(make_sidebar());
  auto* right = new QVBoxLayout;
  right->setSpacing(0);
  chips_ = new FilterChips(session_);
  right->addWidget(make_topbar());
  right->addWidget(chips_);
  live_ = new LiveBar(session_);
  right->addWidget(live_);
  right->addWidget(make_banner());
  stack_ = new QStackedWidget;
  right->addWidget(stack_, 1);
  across->addLayout(right, 1);
  setCentralWidget(central);
  status_ = new QLabel;
  status_->setContentsMargins(12, 0, 0, 0);
  statusBar()->addWidget(status_, 1);
  statusBar()->setSizeGripEnabled(false);

  add_view(new OverviewView(session_));
  add_view(new CompareView(session_));
  add_view(new ExploreView(session_));
  add_view(new RooflineView(session_));
  add_view(new TrendsView(session_));
  add_view(new TimelineView(session_));
  add_view(new ClaimsView(session_));
  add_view(new RunsView(session_));
  drawer_ = new CaseDrawer(session_, this);
  addDockWidget(Qt::RightDockWidgetArea, drawer_);
  setTabOrder(filter_, chips_->add_button());
  setTabOrder(chips_->add_button(), run_box_);
  add_keys();

  connect(&session_, &Session::database_changed, this, [this] {
    list_runs();
    mark_stale();
  });
  connect(&session_, &Session::run_changed, this, [this] {
    list_runs();
    mark_stale();
  });
  connect(&session_, &Session::filter_changed, this, [this] {
    if (filter_->text().toStdString() != session_.filter().text) filter_->setText(text_of(session_.filter().text));
    for (View* view : views_) stale_[view] = true;
    refresh_current();
  });
  connect(&session_, &Session::case_changed, this, [this] {
    for (View* view : views_)
      if (view != current()) stale_[view] = true;
    drawer_->refresh();
  });
  connect(&session_, &Session::followed, this, &MainWindow::show_live);
  connect(&session_, &Session::failed, this, &MainWindow::show_failure);
  show_view(QStringLiteral("overview"));
  resize(1280, 800);
  if (remember_ == Remember::layout) {
    restore_layout();
    session_.set_following(true);
  }
}

MainWindow::~MainWindow() = default;

QWidget* MainWindow::make_sidebar() {
  auto* bar = new QWidget;
  bar->setObjectName(QStringLiteral("sidebar"));
  bar->setFixedWidth(176);
  auto* layout = new QVBoxLayout(bar);
  layout->setContentsMargins(10, 12, 10, 10);
  layout->setSpacing(3);
  auto* brand = new QLabel(QStringLiteral("assay"));
  brand->setObjectName(QStringLiteral("brand"));
  layout->addWidget(brand);
  nav_ = new QVBoxLayout;
  nav_->setSpacing(3);
  layout->addLayout(nav_);
  layout->addStretch(1);
  legend_ = new QLabel;
  legend_->setObjectName(QStringLiteral("legend"));
  legend_->setText(
      QStringLiteral("● measured, ─── \n◌ emulated, ·····\n◇ projected, ╌╌╌\nƒ derived, ───\n❝ claimed, ─·─·"));
  legend_->setToolTip(tr("Where a number comes from. A line never joins two of them."));
  layout->addWidget(legend_);
  layout->addSpacing(8);
  auto* help = new QPushButton(tr("?  Keys"));
  help->setObjectName(QStringLiteral("nav"));
  connect(help, &QPushButton::clicked, this, &MainWindow::show_help);
  layout->addWidget(help);
  return bar;
}

QWidget* MainWindow::make_topbar() {
  auto* bar = new QWidget;
  bar->setObjectName(QStringLiteral("topbar"));
  auto* layout = new QHBoxLayout(bar);
  layout->setContentsMargins(16, 8, 16, 8);
  filter_ = new FilterBox(session_);
  filter_->setMinimumWidth(180);
  filter_->when_entered = [this] {
    auto* table = current()->findChild<GridView*>();
    if (table == nullptr) return;
    table->setFocus();
    if (table->current_id() == 0) table->move(0);
  };
  layout->addWidget(filter_, 3);
  layout->addWidget(chips_->add_button());
  auto* before = new QPushButton(QStringLiteral("["));
  before->setToolTip(tr("the run before"));
  before->setAccessibleName(tr("the run before"));
  auto* after = new QPushButton(QStringLiteral("]"));
  after->setToolTip(tr("the run after"));
  after->setAccessibleName(tr("the run after"));
  connect(before, &QPushButton::clicked, this, [this] { session_.step_run(1); });
  connect(after, &QPushButton::clicked, this, [this] { session_.step_run(-1); });
  run_box_ = new ChoiceBox;
  run_box_->setAccessibleName(tr("run"));
  run_box_->setMinimumWidth(180);
  connect(run_box_, &QComboBox::activated, this,
          [this](int row) { session_.choose_run(run_box_->itemData(row).toString().toStdString()); });
  auto* hand_out = new QPushButton(tr("Export"));
  hand_out->setToolTip(tr("PNG, SVG, HTML or CSV of this view (Ctrl+E)"));
  connect(hand_out, &QPushButton::clicked, this, &MainWindow::choose_export);
  auto* commands = new QPushButton(QStringLiteral("Ctrl+K"));
  commands->setToolTip(tr("every command by name"));
  connect(commands, &QPushButton::clicked, this, &MainWindow::show_palette);
  layout->addWidget(before);
  layout->addWidget(run_box_, 3);
  layout->addWidget(after);
  layout->addWidget(hand_out);
  layout->addWidget(commands);
  return bar;
}

QWidget* MainWindow::make_banner() {
  banner_bar_ = new QWidget;
  banner_bar_->setObjectName(QStringLiteral("bannerbar"));
  banner_bar_->setAttribute(Qt::WA_StyledBackground);
  auto* layout = new QHBoxLayout(banner_bar_);
  layout->setContentsMargins(16, 7, 16, 7);
  banner_ = new QLabel;
  banner_->setObjectName(QStringLiteral("banner"));
  banner_->setWordWrap(true);
  banner_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  auto* again = new QPushButton(tr("Try again"));
  connect(again, &QPushButton::clicked, this, [this] { open(session_.paths()); });
  auto* other = new QPushButton(tr("Open another"));
  connect(other, &QPushButton::clicked, this, [this] { choose_file(false); });
  layout->addWidget(banner_, 1);
  layout->addWidget(again);
  layout->addWidget(other);
  banner_bar_->hide();
  return banner_bar_;
}

void MainWindow::add_view(View* view) {
  views_.push_back(view);
  stale_[view] = true;
  stack_->addWidget(view);
  auto* button = new QPushButton(QString(view->title()).replace(QLatin1Char('&'), QStringLiteral("&&")));
  button->setObjectName(QStringLiteral("nav"));
  button->setCheckable(true);
  button->setToolTip(tr("key %1").arg(views_.size()));
  connect(button, &QPushButton::clicked, this, [this, id = view->id()] { show_view(id); });
  connect(view, &View::view_wanted, this, &MainWindow::show_view);
  connect(view, &View::comparison_wanted, this, [this](const QString& base, const QString& contender) {
    View* compare = this->view(QStringLiteral("compare"));
    compare->set_arguments({{QStringLiteral("base"), base}, {QStringLiteral("against"), contender}});
    stale_[compare] = true;
    show_view(compare->id());
  });
  connect(view, &View::details_wanted, this, [this] { drawer_->show(); });
  buttons_.push_back(button);
  nav_->addWidget(button);
}

void MainWindow::add_keys() {
  const auto key = [this](const QKeySequence& keys, const std::function<void()>& run) {
    connect(new QShortcut(keys, this), &QShortcut::activated, this, run);
  };
  for (std::size_t i = 0; i < views_.size(); ++i)
    key(QKeySequence(static_cast<int>(Qt::Key_1) + static_cast<int>(i)), [this, i] { show_view(views_[i]->id()); });
  key(Qt::Key_Slash, [this] {
    filter_->setFocus();
    filter_->selectAll();
  });
  key(Qt::Key_J, [this] { current()->move(1); });
  key(Qt::Key_K, [this] { current()->move(-1); });
  key(Qt::Key_BracketLeft, [this] { session_.step_run(1); });
  key(Qt::Key_BracketRight, [this] { session_.step_run(-1); });
  key(Qt::Key_Question, [this] { show_help(); });
  key(Qt::CTRL | Qt::Key_K, [this] { show_palette(); });
  key(Qt::Key_I, [this] { drawer_->setVisible(drawer_->isHidden()); });
  key(Qt::Key_L, [this] { current()->toggle_scale(); });
  key(Qt::Key_H, [this] { session_.set_held(!session_.held()); });
  key(Qt::CTRL | Qt::Key_O, [this] { choose_file(false); });
  key(Qt::CTRL | Qt::SHIFT | Qt::Key_O, [this] { choose_file(true); });
  key(Qt::CTRL | Qt::Key_E, [this] { choose_export(); });
  key(Qt::CTRL | Qt::Key_C, [this] { copy_tsv(); });
  key(Qt::CTRL | Qt::SHIFT | Qt::Key_C, [this] { copy_markdown(); });
  key(Qt::Key_F5, [this] { open(session_.paths()); });
}

bool MainWindow::open(const QStringList& paths) {
  const bool opened = session_.open(paths);
  QStringList names, full;
  for (const QString& path : paths) {
    names << QFileInfo(path).fileName();
    full << QFileInfo(path).absoluteFilePath();
  }
  if (opened && remember_ == Remember::layout) {
    QSettings held = settings();
    QStringList recent = held.value(QStringLiteral("recent")).toStringList();
    const QString entry = full.join(between_files);
    recent.removeAll(entry);
    recent.prepend(entry);
    while (recent.size() > most_recent_files) recent.removeLast();
    held.setValue(QStringLiteral("recent"), recent);
  }
  setWindowTitle(opened ? QStringLiteral("%1 · assay").arg(names.join(QStringLiteral(" + ")))
                        : QStringLiteral("assay"));
  return opened;
}

View* MainWindow::current() const { return qobject_cast<View*>(stack_->currentWidget()); }

View* MainWindow::view(const QString& id) const {
  for (View* view : views_)
    if (view->id() == id) return view;
  return nullptr;
}

QStringList MainWindow::view_ids() const {
  QStringList ids;
  for (const View* view : views_) ids << view->id();
  return ids;
}

bool MainWindow::show_view(const QString& id) {
  View* wanted = view(id);
  if (wanted == nullptr) return false;
  stack_->setCurrentWidget(wanted);
  for (std::size_t i = 0; i < views_.size(); ++i) buttons_[i]->setChecked(views_[i] == wanted);
  refresh_current();
  return true;
}

void MainWindow::mark_stale() {
  for (View* view : views_) stale_[view] = true;
  refresh_current();
  show_status();
  drawer_->refresh();
  show_live();
}

void MainWindow::show_live() { live_->refresh(QDateTime::currentMSecsSinceEpoch() * 1'000'000); }

void MainWindow::refresh_current() {
  View* view = current();
  if (view == nullptr || !stale_[view]) return;
  stale_[view] = false;
  session_.guarded([view] { view->refresh(); });
}

void MainWindow::list_runs() {
  const QSignalBlocker quiet(run_box_);
  run_box_->clear();
  if (session_.database() == nullptr) return;
  const auto data = session_.run();
  for (const auto& run : session_.database()->runs()) {
    QString text = text_of(run_title(run));
    for (const std::string& tag : run.tags)
      if (run.suite.find(tag) == std::string::npos) text += QStringLiteral(" · ") + text_of(tag);
    run_box_->addItem(text, text_of(run.id));
  }
  if (data) run_box_->setCurrentIndex(run_box_->findData(text_of(data->run.id)));
}

QString MainWindow::banner() const { return banner_bar_->isHidden() ? QString() : banner_->text(); }

void MainWindow::show_failure(const QString& line) {
  banner_->setText(line);
  banner_bar_->setVisible(!line.isEmpty());
  show_status();
}

void MainWindow::show_status() {
  Database* database = session_.database();
  if (database == nullptr) return status_->setText(tr("no database open"));
  status_->setToolTip(session_.path());
  const auto data = session_.run();
  if (!data) return status_->setText(session_.path());
  QStringList names;
  for (const QString& path : session_.paths()) names << QFileInfo(path).fileName();
  status_->setText(tr("%1 · %2 · %3 %4 · %5")
                       .arg(names.join(QStringLiteral(" + ")), text_of(data->run.machine.name))
                       .arg(data->cases.size())
                       .arg(data->cases.size() == 1 ? tr("case") : tr("cases"), text_of(data->run.machine.cpu)));
}

void MainWindow::copy_markdown() { QApplication::clipboard()->setText(as_markdown(current()->table())); }

void MainWindow::copy_csv() { QApplication::clipboard()->setText(as_csv(current()->table())); }

void MainWindow::copy_tsv() { QApplication::clipboard()->setText(as_tsv(current()->table())); }

bool MainWindow::export_to(const QString& path) {
  View* view = current();
  bool done = false;
  if (path.endsWith(QStringLiteral(".csv"), Qt::CaseInsensitive)) {
    QSaveFile file(path);
    done = file.open(QIODevice::WriteOnly) && file.write(as_csv(view->table()).toUtf8()) >= 0 && file.commit();
  } else if (path.endsWith(QStringLiteral(".svg"), Qt::CaseInsensitive)) {
    QSvgGenerator svg;
    svg.setFileName(path);
    svg.setSize(view->size());
    svg.setViewBox(view->rect());
    svg.setTitle(view->title());
    QPainter painter;
    if (painter.begin(&svg)) {
      painter.fillRect(view->rect(), theme().window);
      view->render(&painter);
      done = painter.end();
    }
  } else if (path.endsWith(QStringLiteral(".png"), Qt::CaseInsensitive)) {
    done = view->grab().save(path);
  } else if (path.endsWith(QStringLiteral(".html"), Qt::CaseInsensitive)) {
    QSaveFile file(path);
    done = file.open(QIODevice::WriteOnly) && file.write(page_of(*view).toUtf8()) >= 0 && file.commit();
  } else {
    show_failure(tr("%1: found no known ending, expected .png, .svg, .html or .csv").arg(path));
    return false;
  }
  if (!done) show_failure(tr("%1: cannot be written").arg(path));
  return done;
}

// The view as one file: its picture, its table, and the line that shows it again.
QString MainWindow::page_of(View& view) {
  QByteArray picture;
  QBuffer buffer(&picture);
  buffer.open(QIODevice::WriteOnly);
  view.grab().save(&buffer, "PNG");
  const auto data = session_.run();
  const QString of = data ? text_of(run_title(data->run) + " on " + data->run.machine.name) : QString();
  return QStringLiteral(
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%1: "
             "assay</title>\n<style>\n"
             "body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1280px; padding: 0 16px; }\n"
             "img { max-width: 100%; height: auto; border: 1px solid #ccc; }\n"
             "table { border-collapse: collapse; margin-top: 20px; font-size: 13px; }\n"
             "th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid #ddd; }\n"
             ".number { text-align: right; font-variant-numeric: tabular-nums; }\n"
             "</style>\n</head>\n<body>\n<h1>%1</h1>\n<p>%2</p>\n<img alt=\"%1; the table has the numbers\" "
             "src=\"data:image/png;base64,%3\">\n%4<p>Shown by <code>%5</code></p>\n</body>\n</html>\n")
      .arg(view.title().toHtmlEscaped(), of.toHtmlEscaped(), QString::fromLatin1(picture.toBase64()),
           as_html(view.table()), how_to_show_again().toHtmlEscaped());
}

QString MainWindow::how_to_show_again() {
  QString line = QStringLiteral("assay gui");
  for (const QString& path : session_.paths()) line += QStringLiteral(" --db '%1'").arg(path);
  line += QStringLiteral(" --view %1").arg(current()->id());
  if (!session_.filter().text.empty()) line += QStringLiteral(" --filter '%1'").arg(text_of(session_.filter().text));
  if (run_box_->currentIndex() > 0) line += QStringLiteral(" --run %1").arg(run_box_->currentData().toString().left(8));
  const auto data = session_.run();
  if (const CaseResult* selected = data && session_.selected_case() ? data->find(*session_.selected_case()) : nullptr)
    line += QStringLiteral(" --case '%1'").arg(text_of(selected->info.record.key));
  if (!drawer_->isHidden()) line += QStringLiteral(" --details");
  for (const QString& argument : current()->arguments()) line += QStringLiteral(" --set '%1'").arg(argument);
  return line;
}

std::vector<Command> MainWindow::commands() {
  std::vector<Command> all;
  for (std::size_t i = 0; i < views_.size(); ++i)
    all.push_back(
        {tr("Show %1").arg(views_[i]->title()), QString::number(i + 1), [this, i] { show_view(views_[i]->id()); }});
  all.push_back({tr("Filter"), QStringLiteral("/"), [this] { filter_->setFocus(); }});
  all.push_back({tr("Clear the filter"), {}, [this] { session_.set_filter({}); }});
  all.push_back({tr("Run before"), QStringLiteral("["), [this] { session_.step_run(1); }});
  all.push_back({tr("Run after"), QStringLiteral("]"), [this] { session_.step_run(-1); }});
  all.push_back({tr("Copy as Markdown"), QStringLiteral("Ctrl+Shift+C"), [this] { copy_markdown(); }});
  all.push_back({tr("Copy for a spreadsheet"), QStringLiteral("Ctrl+C"), [this] { copy_tsv(); }});
  all.push_back({tr("Copy as CSV"), {}, [this] { copy_csv(); }});
  all.push_back({tr("Copy the command that shows this"), {}, [this] {
                   QApplication::clipboard()->setText(how_to_show_again());
                 }});
  all.push_back({tr("Export as PNG, SVG, HTML or CSV"), QStringLiteral("Ctrl+E"), [this] { choose_export(); }});
  all.push_back({theme().dark ? tr("Light theme") : tr("Dark theme"), {}, [this] { set_dark(!theme().dark); }});
  all.push_back({tr("Open a database"), QStringLiteral("Ctrl+O"), [this] { choose_file(false); }});
  all.push_back({tr("Add a database"), QStringLiteral("Ctrl+Shift+O"), [this] { choose_file(true); }});
  all.push_back({tr("Logarithmic or linear scale"), QStringLiteral("l"), [this] { current()->toggle_scale(); }});
  all.push_back({tr("The case: launches, how to get it again"), QStringLiteral("i"),
                 [this] { drawer_->setVisible(drawer_->isHidden()); }});
  all.push_back({session_.held() ? tr("Let the page go on") : tr("Hold the page still"), QStringLiteral("h"),
                 [this] { session_.set_held(!session_.held()); }});
  all.push_back({tr("Keys"), QStringLiteral("?"), [this] { show_help(); }});
  if (remember_ == Remember::layout)
    for (const QString& file : settings().value(QStringLiteral("recent")).toStringList())
      all.push_back({tr("Open %1").arg(QString(file).replace(between_files, QStringLiteral(" + "))), {}, [this, file] {
                       open(file.split(between_files));
                     }});
  if (session_.database() != nullptr) {
    int newest = 0;
    for (const auto& run : session_.database()->runs()) {
      if (++newest > 20) break;
      all.push_back(
          {tr("Look at run %1").arg(text_of(run_title(run))), {}, [this, id = run.id] { session_.choose_run(id); }});
    }
  }
  return all;
}

void MainWindow::set_dark(bool dark) {
  apply_theme(*qobject_cast<QApplication*>(QApplication::instance()), dark);
  if (remember_ == Remember::layout) settings().setValue(QStringLiteral("dark"), dark);
  mark_stale();
}

void MainWindow::show_palette() {
  auto* palette = new CommandPalette(commands(), this);
  palette->setAttribute(Qt::WA_DeleteOnClose);
  palette->move(mapToGlobal(QPoint((width() - palette->width()) / 2, 90)));
  palette->show();
}

void MainWindow::show_help() {
  QMessageBox box(this);
  box.setWindowTitle(tr("Keys"));
  box.setTextFormat(Qt::RichText);
  box.setText(tr(keys_text));
  box.exec();
}

void MainWindow::choose_file(bool add) {
  const QStringList chosen = QFileDialog::getOpenFileNames(
      this, add ? tr("Look at another results database too") : tr("Open results databases"),
      session_.paths().isEmpty() ? QString() : session_.paths().front(), tr("Results (*.db);;All files (*)"));
  if (chosen.isEmpty()) return;
  QStringList paths = add ? session_.paths() : QStringList();
  for (const QString& path : chosen)
    if (!paths.contains(path)) paths << path;
  open(paths);
}

void MainWindow::choose_export() {
  const QString path = QFileDialog::getSaveFileName(
      this, tr("Export this view"), current()->id() + QStringLiteral(".png"),
      tr("Picture (*.png);;Drawing (*.svg);;Page with picture and table (*.html);;Table (*.csv)"));
  if (!path.isEmpty()) export_to(path);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls() && event->mimeData()->urls().front().isLocalFile()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  QStringList paths;
  for (const QUrl& file : event->mimeData()->urls())
    if (file.isLocalFile()) paths << file.toLocalFile();
  if (paths.isEmpty()) return;
  event->acceptProposedAction();
  open(paths);
}

void MainWindow::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) {
    current()->activate();
    return;
  }
  if (event->key() == Qt::Key_Escape && !session_.filter().text.empty()) {
    session_.set_filter({});
    return;
  }
  QMainWindow::keyPressEvent(event);
}

void MainWindow::closeEvent(QCloseEvent* event) {
  if (remember_ == Remember::layout) remember_layout();
  QMainWindow::closeEvent(event);
}

void MainWindow::remember_layout() {
  QSettings held = settings();
  held.setValue(QStringLiteral("geometry"), saveGeometry());
  held.setValue(QStringLiteral("view"), current()->id());
  held.setValue(QStringLiteral("filter"), text_of(session_.filter().text));
  held.setValue(QStringLiteral("drawer"), !drawer_->isHidden());
  for (const View* view : views_) {
    int which = 0;
    for (const QSplitter* splitter : view->findChildren<QSplitter*>())
      held.setValue(QStringLiteral("splitters/%1/%2").arg(view->id()).arg(which++), splitter->saveState());
  }
}

void MainWindow::restore_layout() {
  const QSettings held = settings();
  restoreGeometry(held.value(QStringLiteral("geometry")).toByteArray());
  for (View* view : views_) {
    int which = 0;
    for (QSplitter* splitter : view->findChildren<QSplitter*>())
      splitter->restoreState(held.value(QStringLiteral("splitters/%1/%2").arg(view->id()).arg(which++)).toByteArray());
  }
  session_.set_filter(held.value(QStringLiteral("filter")).toString());
  if (held.value(QStringLiteral("drawer")).toBool()) drawer_->show();
  if (const QString last = held.value(QStringLiteral("view")).toString(); !last.isEmpty()) show_view(last);
}

}  // namespace assay::gui
