#include <gtest/gtest.h>

#include <QApplication>

#include "gui/theme.h"

int main(int argc, char** argv) {
  setenv("QT_QPA_PLATFORM", "offscreen", 1);
  setenv("TZ", "UTC", 1);
  testing::InitGoogleTest(&argc, argv);
  const QApplication application(argc, argv);
  assay::gui::apply_theme(*qobject_cast<QApplication*>(QApplication::instance()), false);
  return RUN_ALL_TESTS();
}
